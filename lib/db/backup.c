/* SPDX-License-Identifier: MIT */
/*
 * backup.c - bwt_backup(): pin a fresh checkpoint, copy, let go
 *
 * The checkpoint only shortens the log that is copied and replayed: where it cannot be had, on a full
 * disk for instance, the newest one that is there serves as well.
 */
#include <syslog.h>

#include "base/error.h"
#include "base/testpoint.h"
#include "db/db.h"
#include "recovery/backup.h"

static int pin_newest(struct bwt_db *db, struct checkpoint_pin *pin)
{
	int rc = service_checkpoint(db, false);

	if (rc == BWT_BUSY || rc == BWT_FULL)
		store_say(&db->store, LOG_NOTICE,
		          "backup: of the last checkpoint, there is no new one: %s",
		          bwt_strerror(rc));
	else if (rc < 0)
		return rc;
	TEST_YIELD("backup_pin");
	pthread_mutex_lock(&db->checkpoint_lock);
	rc = checkpoint_pin(&db->store, db->checkpointer, pin);
	pthread_mutex_unlock(&db->checkpoint_lock);
	return rc;
}

int bwt_backup(struct bwt_db *db, const char *path)
{
	struct checkpoint_pin pin;
	int rc = db_check(db);

	if (rc == BWT_OK && path == NULL)
		rc = error_set(BWT_INVALID, "the path of the backup is NULL");
	if (rc == BWT_OK)
		rc = store_health(&db->store, true);
	if (rc == BWT_OK)
		rc = pin_newest(db, &pin);
	if (rc < 0)
		return rc;
	rc = backup_copy(&db->store, &pin, path);
	pthread_mutex_lock(&db->checkpoint_lock);
	checkpoint_unpin(db->checkpointer, &pin);
	pthread_mutex_unlock(&db->checkpoint_lock);
	return rc;
}
