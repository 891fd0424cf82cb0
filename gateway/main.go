// Command switchhook is a self-hosted, programmable webhook gateway.
package main

import (
	"os"

	"switchhook/gateway/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], cli.System())) }
