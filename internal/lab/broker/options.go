package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"syscall"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/jmpub/jmpub/pipeline"
)

// Options is how a broker is started. The zero value is one node on a free port of 127.0.0.1, in memory.
type Options struct {
	// Brokers is the number of nodes; default 1.
	Brokers int
	// Listen is the first node's address, host:port; the others have the ports that follow. Port 0 takes free ones.
	// Default 127.0.0.1:0.
	Listen string
	// Advertise is the host name that clients are given to connect to; default Listen's host. It is needed where they
	// cannot reach the address that is listened on: 0.0.0.0, or a container.
	Advertise string
	// DataDir is the folder that keeps topics, groups and transactions over a restart; empty keeps them in memory. One
	// broker uses it at a time. Writes reach the operating system before they are acknowledged, so they survive the end
	// of the process, not that of the machine.
	DataDir string
	// AutoCreate makes topics that clients ask for and that do not exist.
	AutoCreate bool
	// Partitions is the number that a topic gets whose creator names none; default 6, as jmpub's own.
	Partitions int
	// Log takes what the broker warns of; may be nil.
	Log *slog.Logger
	// Control, for tests, is given the cluster before the broker is used: it can answer requests in the broker's place.
	Control func(*kfake.Cluster)

	host string
	port int
}

// complete checks the options and fills in the defaults.
func (o *Options) complete() error {
	o.Brokers = cmp.Or(o.Brokers, 1)
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	o.Partitions = cmp.Or(o.Partitions, 6)
	var errs []error
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("address %q: want host:port, as in 127.0.0.1:9092", o.Listen))
	} else if o.port, err = strconv.Atoi(port); err != nil || o.port < 0 || o.port+o.Brokers-1 > 65535 {
		errs = append(errs, fmt.Errorf("port %q: want 1 to 65535 for each of %d nodes, or 0 for free ones", port, o.Brokers))
	}
	o.host, o.Advertise = host, cmp.Or(o.Advertise, host)
	if o.Brokers < 1 || o.Brokers > 100 {
		errs = append(errs, fmt.Errorf("%d nodes: want 1 to 100", o.Brokers))
	}
	if o.Partitions < 1 {
		errs = append(errs, fmt.Errorf("%d partitions: want at least 1", o.Partitions))
	}
	if ip := net.ParseIP(o.Advertise); err == nil && (o.Advertise == "" || ip != nil && ip.IsUnspecified()) {
		errs = append(errs, fmt.Errorf("nobody can connect to %q: name a host to advertise", o.Advertise))
	}
	if err := errors.Join(errs...); err != nil {
		return &pipeline.Fault{Op: "start embedded broker", Err: err}
	}
	return nil
}

func (o *Options) ports() []int {
	ports := make([]int, o.Brokers)
	for i := range ports {
		if o.port != 0 {
			ports[i] = o.port + i
		}
	}
	return ports
}

// listen takes the place of kfake's choice of 127.0.0.1.
func (o *Options) listen(network, address string) (net.Listener, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	inner, err := net.Listen(network, net.JoinHostPort(o.host, port)) //nolint:noctx // kfake's hook has no context.
	if err != nil {
		return nil, err
	}
	_, port, _ = net.SplitHostPort(inner.Addr().String()) // It is host:port, always.
	return &listener{Listener: inner, addr: net.JoinHostPort(o.Advertise, port)}, nil
}

// listener has the address that clients are given, and is that address: kfake takes it from Addr. Its host need not be one of
// this machine.
type listener struct {
	net.Listener
	addr string
}

// Accept waits for a client.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guardedConn{Conn: c}, nil
}

// Addr is the advertised address.
func (l *listener) Addr() net.Addr { return l }

// Network is that of TCP.
func (*listener) Network() string { return "tcp" }

// String is host:port.
func (l *listener) String() string { return l.addr }

// startFault says what to do about a broker that did not start.
func (o *Options) startFault(err error) error {
	fault := &pipeline.Fault{Op: "start embedded broker", Err: err}
	_, network := errors.AsType[*net.OpError](err)
	switch {
	case network && errors.Is(err, syscall.EADDRINUSE):
		fault.Hint = "another process listens there: stop it, or choose another port than " + strconv.Itoa(o.port)
	case network && errors.Is(err, syscall.EACCES):
		fault.Hint = "this user may not listen there: choose a port from 1024 on"
	case network:
		fault.Hint = "choose an address of this machine"
	case o.DataDir != "":
		fault.Hint = "the data in " + o.DataDir + " cannot be read: restore it, or name an empty folder"
	}
	return fault
}
