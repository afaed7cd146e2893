package checkpoint

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"

	"github.com/jmpub/jmpub/pipeline"
)

// The names of files in the folder of [Files].
const (
	suffix  = ".checkpoint.json"
	partial = ".partial" // follows the name of a file that is being written
	// What follows an app's prefix: the locks of the process that publishes and of whoever writes, whose token the writer's file
	// has, the newest claim, the run that publishes, and what is paused.
	runLock    = "lock"
	writeLock  = "write.lock"
	writerFile = "writer"
	claimFile  = "claim.json"
	ownerFile  = "owner.json"
	pauseFile  = "pause.json"
)

// maxEscaped bounds a name without its hash and suffixes. File systems take 255 bytes; a username has up to 128, which
// escaping may triple.
const maxEscaped = 180

// appPrefix is what the names of all files of an app begin with.
func appPrefix(appKey string) string { return escape(appKey) + "~" }

// fileName is a stream's file. Different streams have different files, on file systems too that do not tell upper from
// lower case, know other separators, normalize Unicode or allow only short names.
func fileName(appKey string, s pipeline.Stream) string {
	name := appPrefix(appKey) + escape(s.String())
	if len(name) > maxEscaped {
		sum := sha256.Sum256([]byte(name))
		name = name[:maxEscaped] + "~" + hex.EncodeToString(sum[:16])
	}
	return name + suffix
}

// streamOfFile is the stream of a file's name. It is not known of names that were cut off.
func streamOfFile(appKey, name string) (s pipeline.Stream, known bool) {
	text, err := url.PathUnescape(strings.TrimSuffix(strings.TrimPrefix(name, appPrefix(appKey)), suffix))
	if err == nil {
		s, err = pipeline.ParseStream(text)
	}
	return s, err == nil && fileName(appKey, s) == name
}

// ReplayFolder is the folder of a replay's positions within that of the live ones, for [filepath.Glob] too. Different prefixes and
// ids have different folders, as streams have different files.
func ReplayFolder(prefix, replay string) string {
	if replay != "*" {
		replay = short(escape(replay))
	}
	return "replay~" + short(escape(prefix)) + "~" + replay
}

// short cuts off what is too long for a half of a name, and puts its hash there.
func short(name string) string {
	const longest = 80
	if len(name) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:longest] + "%" + hex.EncodeToString(sum[:16])
}

// escape writes every byte but lower-case letters, digits and `._-` as its two hexadecimal digits behind a percent sign.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
