package event_test

import (
	"fmt"

	"github.com/jmpub/jmpub/pipeline/event"
)

func ExampleNormalizer_Normalize() {
	row := []byte(`{"msgid":2456348996,"msg_type":"text","msg_body":{"text":"hello","extras":{}},
		"from_type":"user","from_id":"user_0002","target_type":"single","target_id":"user_0001",
		"create_time":1553222785,"msg_ctime":1553222785613,"msg_level":0,"version":1}`)
	e, rejection := event.NewNormalizer("4f7aef34fb361292c566a1cd").Normalize(row)
	if rejection != nil {
		fmt.Println(rejection.Reason, rejection.Detail)
		return
	}
	fmt.Printf("topic %s, key %d, conversation %s\n", e.Target, e.MsgID, e.Conversation)
	fmt.Printf("%s\n", e.Value)
	// Output:
	// topic single, key 2456348996, conversation single:user_0001|user_0002
	// {"msgid":2456348996,"app_key":"4f7aef34fb361292c566a1cd","target_type":"single","msg_type":"text","conversation_id":"single:user_0001|user_0002","time":"2019-03-22T02:46:25.613Z","client_time":"2019-03-22T02:46:25Z","from":{"id":"user_0002","type":"user"},"target":{"id":"user_0001"},"cross_app":false,"text":"hello","msg_body":{"text":"hello","extras":{}},"attributes":{"version":1}}
}

func ExampleNormalizer_Normalize_rejected() {
	_, rejection := event.NewNormalizer("4f7aef34fb361292c566a1cd").Normalize([]byte(`{"msgid":2.456e9}`))
	fmt.Println(rejection.Reason)
	fmt.Println(rejection.Detail)
	// Output:
	// msgid_not_integer
	// msgid is "2.456e9", not an integer of 64 bits
}

func ExampleRebuild() {
	e, _ := event.NewNormalizer("4f7aef34fb361292c566a1cd").Normalize([]byte(`{"msgid":7, "target_id":10055201, "create_time":1553222785, "version":1}`))
	row, err := event.Rebuild(e.Value)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n%s\n", e.Value, row)
	// Output:
	// {"msgid":7,"app_key":"4f7aef34fb361292c566a1cd","time":"2019-03-22T02:46:25.000Z","time_source":"client_time","client_time":"2019-03-22T02:46:25Z","target":{"id":"10055201"},"attributes":{"target_id":10055201,"version":1}}
	// {"msgid":7,"create_time":1553222785,"target_id":10055201,"version":1}
}
