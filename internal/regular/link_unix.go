//go:build unix

package regular

import "syscall"

// noFollow has the opening of a link fail.
const noFollow = syscall.O_NOFOLLOW
