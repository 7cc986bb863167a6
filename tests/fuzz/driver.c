/* Feeds LLVMFuzzerTestOneInput with mutations of the seeds for some seconds: driver SECONDS INPUT SEED...
 * The input at work is in the file INPUT, also after a crash. `driver 0 INPUT` runs INPUT once. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { LARGEST = 1 << 16, SEEDS = 64, OP = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern unsigned long accepted, executed[64];

struct input {
    uint32_t size;
    uint8_t data[LARGEST];
};
static struct input seeds[SEEDS];
static uint64_t state = 88172645463325252u;

static uint32_t random_below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return limit ? (uint32_t)(state >> 16) % limit : 0;
}

static const uint64_t interesting[] = { 0, 1, 2, 3, 7, 8, 9, 16, 63, 64, 255, 256, 1023, 1024, 4095, 4096, 65535, 65536,
                                        0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, UINT64_MAX, INT64_MAX };

static void set(uint8_t *at, size_t width, uint64_t value)
{
    memcpy(at, &value, width);
}

static void mutate(struct input *input)
{
    static const uint8_t offset[] = { 0, 4, 8, 16, 24, 32, 36 }, width[] = { 4, 4, 8, 8, 8, 4, 4 };
    uint32_t n = input->data[0], ops = 1 + n * OP;
    uint64_t value = interesting[random_below(sizeof interesting / sizeof *interesting)];
    uint32_t at = random_below(input->size), field = random_below(7);
    switch (random_below(9)) {
    case 0:
        input->data[at] ^= (uint8_t)(1u << random_below(8));
        break;
    case 1:                                     /* one field of one operation */
    case 2:
    case 3:
        if (n && ops <= input->size)
            set(input->data + 1 + random_below(n) * OP + offset[field], width[field],
                random_below(2) ? value : field == 0 ? random_below(36) : random_below(256));
        break;
    case 4:                                     /* a word of the blob */
        if (ops + 4 < input->size)
            set(input->data + ops + random_below(input->size - ops - 4) / 4 * 4, 4, value);
        break;
    case 5:
        if (ops < input->size)
            input->data[ops + random_below(input->size - ops)] = (uint8_t)(random_below(2) ? 0 : random_below(256));
        break;
    case 6:
        input->size = at + 1;
        break;
    case 7:                                     /* one operation more, or two changed round */
        if (n > 1 && n < 255 && ops < input->size && input->size + OP < LARGEST) {
            uint32_t from = 1 + random_below(n) * OP, to = 1 + random_below(n) * OP;
            memmove(input->data + to + OP, input->data + to, input->size - to);
            memcpy(input->data + to, input->data + from, OP);
            input->size += OP;
            input->data[0]++;
        }
        break;
    case 8:
        if (input->size + 64 < LARGEST) {
            memset(input->data + input->size, random_below(2) ? 0 : 'x', 64);
            input->size += 1 + random_below(64);
        }
    }
}

static int load(const char *path, struct input *input)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, input->data, LARGEST);
    close(fd);
    input->size = n > 0 ? (uint32_t)n : 0;
    return n > 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "0") == 0) {
        load(argv[2], &seeds[0]);
        return LLVMFuzzerTestOneInput(seeds[0].data, seeds[0].size);
    }
    int fd = open(argv[2], O_RDWR | O_CREAT | O_TRUNC, 0600), count = 0;
    if (fd < 0 || ftruncate(fd, sizeof(struct input)) < 0)
        return 2;
    struct input *now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (int i = 3; i < argc && count < SEEDS; i++)
        count += load(argv[i], &seeds[count]);
    if (!count || now == MAP_FAILED)
        return 2;
    unsigned long runs = 0;
    for (time_t until = time(NULL) + atoi(argv[1]); time(NULL) < until;)
        for (int i = 0; i < 1000; i++, runs++) {
            const struct input *seed = &seeds[random_below((uint32_t)count)];
            now->size = seed->size;
            memcpy(now->data, seed->data, seed->size);
            for (uint32_t times = random_below(4); times; times--)
                mutate(now);
            LLVMFuzzerTestOneInput(now->data, now->size);
        }
    printf("%lu runs, %lu accepted\n", runs, accepted);
    for (int code = 0; code < 64; code++)
        if (executed[code])
            printf("operation %d: %lu\n", code, executed[code]);
    unlink(argv[2]);
    return 0;
}
