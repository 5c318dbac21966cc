/* A CUDA driver for tests: the "GPU" is the host's memory, streams run at once.
 *
 * It has the entry points of metabev_ros/backends/cuda_driver.py with the argument types of cuda.h,
 * so a wrong ctypes signature shows; it writes down what was asked of it (stub_log) and counts
 * what was not given back (stub_live). STUB_GPUS, STUB_INIT and STUB_MEMORY set the number of
 * GPUs, the result of cuInit and the bytes of GPU memory; stub_fail makes a call fail. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[1 << 16];
static size_t used, memory_used, memory_limit = (size_t)1 << 40;
static int live, streams, events, graphs, capturing;
static char failing[64];
static int failure;
static void (*on_launch)(void *);

static int note(const char *name, void *a, void *b) {
    if (used + 64 < sizeof text)
        used += snprintf(text + used, 64, "%s %zu %zu\n", name, (size_t)a, (size_t)b);
    return strcmp(name, failing) == 0 ? failure : 0;
}
const char *stub_log(void) { return text; }
void stub_clear(void) { used = 0; text[0] = 0; }
int stub_live(void) { return live; }
int stub_capturing(void) { return capturing; }
int stub_graphs(void) { return graphs; }
void stub_on_launch(void (*f)(void *)) { on_launch = f; }
void stub_fail(const char *name, int code) { snprintf(failing, 64, "%s", name); failure = code; }

int cuInit(unsigned flags) {
    const char *m = getenv("STUB_MEMORY");
    if (m) memory_limit = strtoull(m, 0, 10);
    return getenv("STUB_INIT") ? atoi(getenv("STUB_INIT")) : (int)flags;
}
int cuDriverGetVersion(int *v) { *v = 13010; return 0; }
int cuDeviceGetCount(int *n) { *n = getenv("STUB_GPUS") ? atoi(getenv("STUB_GPUS")) : 1; return 0; }
int cuGetErrorName(int code, const char **s) {
    *s = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 100 ? "CUDA_ERROR_NO_DEVICE"
        : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : "CUDA_ERROR_INVALID_VALUE";
    return 0;
}
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "Stub GPU %d", d); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 7 : -1; return d; }
int cuDeviceTotalMem_v2(size_t *n, int d) { *n = memory_limit; return d; }
int cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)(uintptr_t)0x7f0000000001; live++; return d; }
int cuDevicePrimaryCtxRelease_v2(int d) { live--; return d; }
int cuCtxSetCurrent(void *c) { return c == (void *)(uintptr_t)0x7f0000000001 ? 0 : 201; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *total = memory_limit; *free = memory_limit - memory_used; return 0; }
int cuMemAlloc_v2(uint64_t *p, size_t n) {
    if (memory_used + n > memory_limit) return 2;
    memory_used += n; live++;
    size_t *block = malloc(n + 16); *block = n;
    *p = (uint64_t)(uintptr_t)(block + 2);
    memset(block + 2, 0xa5, n);
    return note("alloc", (void *)n, 0);
}
int cuMemFree_v2(uint64_t p) {
    size_t *block = (size_t *)(uintptr_t)p - 2;
    memory_used -= *block; live--; free(block); return 0;
}
int cuMemHostAlloc(void **p, size_t n, unsigned f) { *p = malloc(n); live++; note("pin", (void *)n, 0); return (int)f; }
int cuMemFreeHost(void *p) { free(p); live--; return 0; }
int cuMemcpyHtoDAsync_v2(uint64_t d, const void *h, size_t n, void *s) {
    memcpy((void *)(uintptr_t)d, h, n); return note("upload", (void *)n, s);
}
int cuMemcpyDtoHAsync_v2(void *h, uint64_t d, size_t n, void *s) {
    memcpy(h, (void *)(uintptr_t)d, n); return note("download", (void *)n, s);
}
int cuStreamCreate(void **s, unsigned f) { *s = (void *)(uintptr_t)++streams; live++; return f == 1 ? 0 : 1; }
int cuStreamDestroy_v2(void *s) { live--; return s == 0; }
int cuStreamSynchronize(void *s) { return note("synchronise", s, 0); }
int cuStreamWaitEvent(void *s, void *e, unsigned f) { note("wait", e, s); return (int)f; }
int cuEventCreate(void **e, unsigned f) { *e = (void *)(uintptr_t)++events; live++; return f == 2 ? 0 : 1; }
int cuEventDestroy_v2(void *e) { live--; return e == 0; }
int cuEventRecord(void *e, void *s) { return note("record", e, s); }
int cuStreamBeginCapture_v2(void *s, int mode) { capturing = 1; note("capture", s, 0); return mode == 1 ? 0 : 1; }
int cuStreamEndCapture(void *s, void **g) { capturing = 0; live++; *g = (void *)(uintptr_t)++graphs; return s == 0; }
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long f) { *e = g; live++; return (int)f; }
int cuGraphLaunch(void *g, void *s) { if (on_launch) on_launch(g); return note("launch", g, s); }
int cuGraphDestroy(void *g) { live--; return g == 0; }
int cuGraphExecDestroy(void *g) { live--; return g == 0; }
