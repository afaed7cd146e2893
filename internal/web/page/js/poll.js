// Poll asks again and again while the page is seen, one request at a time. A newer request ends the one before it.
export class Poll {
  constructor(every, ask, failed = () => {}) {
    this.every = every;
    this.ask = ask;
    this.failed = failed;
    this.seen = () => {
      if (!document.hidden) this.now();
    };
    document.addEventListener("visibilitychange", this.seen);
    this.now();
  }

  async now() {
    clearTimeout(this.timer);
    this.running?.abort();
    const mine = this.running = new AbortController();
    try {
      await this.ask(mine.signal);
      if (!mine.signal.aborted) this.failed(null);
    } catch (error) {
      if (!mine.signal.aborted) this.failed(error); // The connection's loss is told by the page itself.
    }
    if (mine.signal.aborted || document.hidden) return;
    this.timer = setTimeout(() => this.now(), this.every);
  }

  stop() {
    clearTimeout(this.timer);
    this.running?.abort();
    document.removeEventListener("visibilitychange", this.seen);
  }
}
