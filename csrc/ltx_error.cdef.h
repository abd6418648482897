const char *ltx_error_text(int code);
