/* An accelerator that does not exist, as an external delegate of LiteRT. It takes every node of a graph that adds one,
   adds one itself, and fails in the way that it is told.

   option `fault`    what goes wrong from the start; see below
   option `control`  a file whose first word, read at every step, takes the place of `fault`: a test breaks and mends
                     the accelerator while it runs
   option `after`    runs that still go well before a fault of the run shows

   faults: create, prepare, idle (takes no node), run, hang, wrong, leak, crash-create, crash-run, hang-create

   The few structures of the interface are declared here by layout (tensorflow/lite/core/c/common.h), so that nothing but
   a C compiler is needed. Fields that the delegate does not touch are room. */

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OK = 0, ERROR = 1, BUILTIN_DELEGATE = 51, WORD = 32, LOST = 16384 };

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Delegate Delegate;
typedef struct { int type; union { float *f; void *raw; } data; IntArray *dims; float scale; int32_t zero_point;
                 int allocation; size_t bytes; const void *room[3]; int buffer; bool stale, variable;
                 int quantization; void *quantization_params; void *sparsity; const IntArray *signature; } Tensor;
typedef struct { IntArray *inputs, *outputs, *room[2]; void *user_data; } Node;
typedef struct { void *(*init)(Context *, const char *, size_t); void (*free)(Context *, void *);
                 int (*prepare)(Context *, Node *); int (*invoke)(Context *, Node *);
                 const char *(*profiling)(const Context *, const Node *); int32_t builtin_code; const char *name;
                 int version; void *external; void *async_kernel; uint64_t inplace; } Registration;
struct Context { size_t tensors_size; int (*execution_plan)(Context *, IntArray **); Tensor *tensors; void *impl;
                 void *resize; void (*report)(Context *, const char *, ...); void *add; void *get_node;
                 int (*replace)(Context *, Registration, const IntArray *, Delegate *); };
struct Delegate { void *data; int (*prepare)(Context *, Delegate *); void *copy_from, *copy_to, *free_handle;
                  int64_t flags; void *builder; };

typedef struct { char fault[WORD]; char control[512]; long after, runs; } Device;

static bool does(const Device *device, const char *fault) {
    char word[WORD] = "";
    if (device->control[0]) {
        FILE *file = fopen(device->control, "r");
        if (file) {
            if (fscanf(file, "%31s", word) != 1) word[0] = 0;
            fclose(file);
        }
    }
    return !strcmp(word[0] ? word : device->fault, fault);
}

static void hang(const Device *device, const char *fault) {
    while (does(device, fault)) usleep(2000);
}

static int invoke(Context *context, Node *node) {
    Device *device = node->user_data;
    const Tensor *in = &context->tensors[node->inputs->data[0]];
    Tensor *out = &context->tensors[node->outputs->data[0]];
    if (device->runs++ >= device->after) {
        if (does(device, "crash-run")) raise(SIGSEGV);
        if (does(device, "run")) {
            context->report(context, "fake: the device is gone");
            return ERROR;
        }
        hang(device, "hang");
        if (does(device, "leak")) {
            char *lost = malloc(LOST);
            if (lost) memset(lost, 1, LOST);
            __asm__ volatile("" : : "r"(lost) : "memory"); /* or the compiler leaves both out */
        }
    }
    bool wrong = device->runs > device->after && does(device, "wrong");
    for (size_t i = 0; i < in->bytes / sizeof(float); i++) out->data.f[i] = (wrong ? -in->data.f[i] : in->data.f[i]) + 1;
    return OK;
}

static void *init_kernel(Context *context, const char *parameters, size_t length) {
    (void)context, (void)length;
    return (*(Delegate *const *)parameters)->data; /* the first field of TfLiteDelegateParams */
}

static int prepare_kernel(Context *context, Node *node) { (void)context, (void)node; return OK; }

static int prepare(Context *context, Delegate *delegate) {
    Device *device = delegate->data;
    if (does(device, "prepare")) {
        context->report(context, "fake: the graph cannot be compiled");
        return ERROR;
    }
    if (does(device, "idle")) return OK;
    IntArray *plan;
    if (context->execution_plan(context, &plan) != OK) return ERROR;
    size_t size = sizeof(IntArray) + sizeof(int) * (size_t)plan->size;
    IntArray *nodes = malloc(size);
    memcpy(nodes, plan, size);
    Registration kernel = {.init = init_kernel, .prepare = prepare_kernel, .invoke = invoke, .builtin_code = BUILTIN_DELEGATE,
                           .name = "FakeDelegate", .version = 1};
    int status = context->replace(context, kernel, nodes, delegate);
    free(nodes);
    return status;
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
    Device *device = calloc(1, sizeof *device);
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(keys[i], "fault")) snprintf(device->fault, sizeof device->fault, "%s", values[i]);
        else if (!strcmp(keys[i], "control")) snprintf(device->control, sizeof device->control, "%s", values[i]);
        else if (!strcmp(keys[i], "after")) device->after = atol(values[i]);
    }
    if (does(device, "crash-create")) raise(SIGSEGV);
    hang(device, "hang-create");
    if (does(device, "create")) {
        report("fake: no device found");
        free(device);
        return NULL;
    }
    Delegate *delegate = calloc(1, sizeof *delegate);
    delegate->data = device;
    delegate->prepare = prepare;
    return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) {
    if (delegate == NULL) return; /* LiteRT's Python wrapper destroys what could not be created, too */
    free(delegate->data);
    free(delegate);
}
