/* Whole reads and writes at an offset. */
#ifndef LTX_IO_H
#define LTX_IO_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Read exactly `size` bytes. 0, an errno, ENODATA when the file ends before. */
int ltx_pread(int fd, void *out, size_t size, uint64_t offset);
/* Read up to `size` bytes, fewer only where the file ends; *got: how many. 0 or an errno. */
int ltx_pread_some(int fd, void *out, size_t size, uint64_t offset, size_t *got);
/* Write exactly `size` bytes. 0 or an errno. */
int ltx_pwrite(int fd, const void *data, size_t size, uint64_t offset);
/* Write all parts, one after another; changes them. 0 or an errno. */
int ltx_pwritev(int fd, struct iovec *parts, int count, uint64_t offset);
/* fsync of a folder, so that a rename in it lasts. 0 or an errno. */
int ltx_sync_folder(const char *path);

#endif
