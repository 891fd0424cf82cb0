package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"switchhook/gateway/config"
	"switchhook/gateway/store/sqlite"
)

// Backup makes a new folder that can take the place of the configuration's data directory: with the store as it is at one moment,
// and the key of the webhook URLs, if the configuration has none. The gateway may be running. The folder must not be there, or be empty;
// after an error it is gone. It blocks as sqlite.Backup does.
func Backup(ctx context.Context, cfg *config.Config, folder string) (err error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	switch entries, err := os.ReadDir(folder); {
	case err != nil:
		return fmt.Errorf("looking into the folder: %w", err)
	case len(entries) > 0:
		return fmt.Errorf("%s is not empty: name a folder for this backup alone", folder)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(folder))
		}
	}()
	switch err := sqlite.Backup(ctx, cfg.Data, filepath.Join(folder, "store.db")); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is nothing to back up in %s (data of the configuration): %w", cfg.Data, err)
	case err != nil:
		return err
	}
	if cfg.URLKey.IsSet() {
		return nil
	}
	key, err := os.ReadFile(filepath.Join(cfg.Data, "url.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, "url.key"), key, 0o600)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // then no URL was ever made
		return fmt.Errorf("copying the key of the webhook URLs: %w", err)
	}
	return nil
}
