// Package region knows where ConvoAI calls can go: the areas, their hosts in
// the vendor's order, the path prefix that belongs to an area, and which host
// comes next when one fails.
//
// It does no I/O and knows nothing of HTTP, credentials or Caddy. It does not
// yet measure hosts: the order is the vendor's.
package region
