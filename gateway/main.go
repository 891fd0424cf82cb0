// Command switchhook is a self-hosted, programmable webhook gateway.
package main

import (
	"os"

	"switchhook/gateway/cli"
	"switchhook/gateway/script/worker"
)

func main() {
	worker.Main() // does not return in a process that runs handlers
	os.Exit(cli.Main(os.Args[1:], cli.System()))
}
