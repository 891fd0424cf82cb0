package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"switchhook/gateway/config"
	"switchhook/gateway/live"
	"switchhook/gateway/store/sqlite"
)

// Backup makes a new folder that can take the place of the configuration's data directory: with the store as it is at one moment,
// and the key of the webhook URLs, if the configuration has none. The gateway may be running. The folder must not be there, or be empty;
// after an error it is gone. It returns how many bytes the store has, and blocks as sqlite.Backup does.
func Backup(ctx context.Context, cfg *config.Config, folder string) (size int64, err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return 0, fmt.Errorf("making the folder: %w", err)
	}
	switch entries, err := os.ReadDir(folder); {
	case err != nil:
		return 0, fmt.Errorf("looking into the folder: %w", err)
	case len(entries) > 0:
		return 0, fmt.Errorf("%s is not empty: name a folder for this backup alone", folder)
	}
	size, err = sqlite.Backup(ctx, cfg.Data, folder)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is nothing to back up in %s (data of the configuration): %w", cfg.Data, err)
	}
	if err == nil && !cfg.URLKey.IsSet() {
		err = live.CopyURLKey(cfg.Data, folder)
	}
	if err != nil {
		return 0, errors.Join(err, os.RemoveAll(folder))
	}
	return size, nil
}
