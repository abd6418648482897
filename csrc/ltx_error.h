/* What each LTX_E_* code means, in words. */
#ifndef LTX_ERROR_H
#define LTX_ERROR_H

/* A static text for a code; never NULL. */
const char *ltx_error_text(int code);

#endif
