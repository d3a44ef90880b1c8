/* SPDX-License-Identifier: MIT */
/* qmp.c - qmp SOCKET COMMAND...: say each command (JSON) to a QEMU process; ends with 1 when one is refused */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The answer to a command; events may come before it. */
static int answer(FILE *from)
{
	char line[65536];

	while (fgets(line, sizeof line, from) != NULL) {
		if (strncmp(line, "{\"return\"", 9) == 0)
			return 0;
		if (strncmp(line, "{\"error\"", 8) == 0) {
			fputs(line, stderr);
			return 1;
		}
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FILE *from = fdopen(fd, "r");

	if (argc < 3 || strlen(argv[1]) >= sizeof address.sun_path)
		return 2;
	strcpy(address.sun_path, argv[1]);
	if (from == NULL || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
		perror(argv[1]);
		return 1;
	}
	if (dprintf(fd, "{\"execute\": \"qmp_capabilities\"}\n") < 0 || answer(from) != 0)
		return 1;
	for (int i = 2; i < argc; i++)
		if (dprintf(fd, "%s\n", argv[i]) < 0 || answer(from) != 0)
			return 1;
	return 0;
}
