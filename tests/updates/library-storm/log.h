void log_line(const char *what, long number);
long log_lines(void);
