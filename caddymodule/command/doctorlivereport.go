package command

import (
	"fmt"
	"net/http"
)

// reportLive reports what the vendor says of one credential; results are those of
// all.
func (d *diagnosis) reportLive(r *liveResult, results []liveResult) {
	switch {
	case r.problem != "":
		d.fail(faultNetwork, "no answer to a call: "+r.problem, "connections can be made, and calls cannot: a firewall or proxy that looks into them may be in between")
	case r.sidecar:
		d.fail(faultConfiguration, r.text()+" as a sidecar does, not as the vendor", "--upstream (CONVOAI_UPSTREAM) leads to a sidecar: name the vendor's host")
	case r.accepted() && !r.list:
		d.warn(faultNetwork, r.text()+", and not with a list of agents", "something else than the ConvoAI API may answer there: look at --upstream and --area")
	case r.accepted() && r.byTheirClock:
		d.warn(faultHost, "the vendor accepts "+r.from+" only with a token that is dated by its own clock", "set this host's clock right; until then the sidecar finds that out with the first call, and dates tokens so")
	case r.accepted():
		d.ok("the vendor accepts %s (%s lists the app's agents, %s)", r.from, r.host, millis(r.took))
	case r.status == http.StatusUnauthorized:
		d.reportRefused(r, results)
	default:
		d.reportStatus(r)
	}
}

// reportRefused reports a credential that the vendor refuses.
func (d *diagnosis) reportRefused(r *liveResult, results []liveResult) {
	what := fmt.Sprintf("the vendor refuses %s: %s", r.from, r.text())
	var primary, secondary *liveResult
	for i := range results {
		switch other := &results[i]; {
		case other.minted && other.secondary:
			secondary = other
		case other.minted:
			primary = other
		}
	}
	switch {
	case !r.minted && d.mode == modeToken:
		d.fail(faultConfiguration, what, remedyToken, "the certificate that it was signed with may have been replaced in the console since")
		return
	case !r.minted:
		d.fail(faultConfiguration, what, remedyREST)
		return
	case r.secondary && primary != nil && primary.accepted():
		d.warn(faultConfiguration, what, "calls go out with the primary certificate, and there is nothing to fall back on: "+remedyConsole)
		return
	case !r.secondary && r.forCalls && secondary != nil && secondary.accepted():
		d.warn(faultConfiguration, what, "calls go out with "+secondary.from+", the first one after it has been sent twice: "+remedyConsole)
		return
	}
	remedy := []string{
		fmt.Sprintf("App ID and certificate have to be of the same project, and the certificate enabled there: copy both again from the project's page in the console (App ID ending in %s)", ending(d.credentials.appID.value)),
	}
	if !r.forCalls {
		remedy = append(remedy, "the calls themselves have another credential, but the tokens that are made for their bodies would be refused")
	}
	if d.clock != nil && d.clock.off() > clockFailed {
		remedy = append(remedy, "or set this host's clock right, see above: it dates the token")
	}
	d.fail(faultConfiguration, what, remedy...)
}

// reportStatus reports an answer that says nothing of the credential, or that it is
// known.
func (d *diagnosis) reportStatus(r *liveResult) {
	what := r.text()
	support := "ask the vendor's support"
	if r.request != "" {
		support += ", with the request's ID " + r.request
	}
	switch {
	case r.status == http.StatusForbidden:
		remedy := []string{"enable Conversational AI for this project in the console; an account that is suspended or not paid for is refused in the same way", support}
		if !r.minted && d.mode == modeBasic {
			remedy = append([]string{"the customer of " + r.from + " has to be the one whose project it is"}, remedy...)
		}
		d.fail(faultAccount, what+": the project may not use the service", remedy...)
	case r.status == http.StatusNotFound:
		d.fail(faultConfiguration, what+": there is no ConvoAI API", "look at --upstream and --area (area cn has paths of its own)")
	case r.status == http.StatusTooManyRequests:
		d.warn(faultAccount, what+": too many calls at the moment", "whether "+r.from+" is accepted is not known: ask again later; if it stays so, have the limit raised")
	case r.status >= 500:
		d.fail(faultVendor, what+": the vendor cannot serve calls at the moment", "look at the vendor's status page, and ask again later", support)
	default:
		d.fail(faultNetwork, what+", which the ConvoAI API does not do", "something else may answer there: a captive portal, a proxy, another API; look at --upstream and --area")
	}
}
