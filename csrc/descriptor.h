/* Read-only descriptors of database files, which cannot just be closed: closing any descriptor of a
 * file drops all POSIX locks that this process has on it, those of SQLite's connections too. */
#ifndef LTX_DESCRIPTOR_H
#define LTX_DESCRIPTOR_H

/* Open `path` for reading, or take up a descriptor of it that waits to be closed. 0 or an errno;
 * *fd is -1 when it fails. */
int ltx_descriptor_open(const char *path, int *fd);
/* Close it as soon as no connection of this process has a lock on its file. -1 is fine. */
void ltx_descriptor_close(int fd);
/* Whether `path` names the file that `fd` is open on. */
int ltx_descriptor_is(int fd, const char *path);

#endif
