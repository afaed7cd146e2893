//go:build !unix

package regular

// noFollow is nothing where links are not usual; they are found by what stands at the path.
const noFollow = 0
