// Package region knows where ConvoAI calls can go: the areas, their hosts in
// the vendor's order, the path prefix that belongs to an area, and which host
// comes next when one fails.
//
// A [Tracker] keeps what is known of hosts: whether they can be used, learned
// from the attempts of calls, and how long a connection to them takes. A
// [Group] is the candidates of a site in their order of preference, and a
// [Walk] the way of one call through them. Sites with the same candidates share
// one Group, and sites with some hosts in common share the state of those.
//
// # States of a host
//
// A host is available, resting or unproven. It rests after an attempt that
// found it unreachable or lost its connection, or after three in a row that it
// left without an answer or answered with 502, 503 or 504: 10 s the first time,
// twice as long after each further failure without a success in between, 5 min
// at most, each more or less by up to a tenth. When the rest is over, the host
// must first be reached by a probe. The other names of its region become
// unproven with it, because they lead to the same place: they have no rest, but
// are probed before they are used.
//
// Calls go to hosts that are not available only when no other is left, and then
// in order: a call never gives up while there is a host that it has not tried.
// While no host of a Group is available, each is probed every 2 s, whether its
// rest is over or not.
//
// # Reach
//
// [Group.Reach] says whether a host can be reached, for who asks whether a
// sidecar is ready: by the evidence of calls, and of probes where there are no
// calls. It knows within 5 s that all hosts are lost, or that one is back, when it
// is asked once a second and connections take less than 0.75 s; it has each host
// probed at most once in 2 s. It is about connections only, not about what hosts
// answer, and not about rests.
//
// # Order of preference
//
// Regions begin in the order in which they are given. Every 30 s of use, the
// available hosts are measured together, and a region moves ahead of another
// when its connections are made faster by a quarter and by 5 ms at least. What
// counts is the median of the last three measurements, of two the shorter; one
// alone counts for nothing.
//
// # Limits
//
// The package does no I/O of its own, and knows nothing of HTTP, credentials or
// Caddy: connections are made by a [Prober]. Nothing runs while no calls come
// in and nobody asks: calls have the probes started that are due. Nothing is kept
// beyond the life of the process.
package region
