package api

import "github.com/tidwall/gjson"

// AnsweredAgent returns the agent_id of the answer to a join or a call, or "" where
// there is none, or the answer is no JSON object or not all of one.
func AnsweredAgent(answer []byte) string {
	root, err := parseObject(answer)
	if err != nil {
		return ""
	}
	var found [1]gjson.Result
	members(root, []string{"agent_id"}, found[:])
	if found[0].Type != gjson.String {
		return ""
	}
	return found[0].Str
}
