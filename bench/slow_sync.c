/* Preload this library to make every fsync and fdatasync 2 ms slower, as on a slow disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static void wait_2_ms(void) {
    struct timespec t = {0, 2000000};
    nanosleep(&t, 0);
}

int fsync(int fd) {
    wait_2_ms();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_2_ms();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
