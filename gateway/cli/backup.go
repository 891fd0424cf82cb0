package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"switchhook/gateway/app"
)

func (p *program) backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "Copy the data directory as it is at one moment; the gateway may be running",
		Long: `Backup makes FOLDER a copy of the data directory: all requests, deliveries and
subscriptions as they are at one moment, and the key that webhook URLs are made
with. The gateway need not be stopped, and need not be running.

To restore, stop the gateway and put the folder in the place of the data
directory. What was pending when the backup was made is delivered again then.
The configuration and the connectors are not in it; they are files of your own.`,
		Example: `  switchhook backup /backups/$(date +%F)`,
		Args:    oneArg("a folder for the backup, which is new or empty"),
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := p.loadConfig()
			if err != nil {
				return err
			}
			began := time.Now()
			size, err := app.Backup(c.Context(), cfg, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(p.streams.Out, "backed up %s to %s: %.1f MiB in %v\n", cfg.Data, args[0], float64(size)/(1<<20), time.Since(began).Round(time.Millisecond))
			return nil
		},
	}
}
