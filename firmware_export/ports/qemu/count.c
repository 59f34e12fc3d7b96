/* A QEMU plugin (interface version 1, QEMU 4.2 to 8) that counts executed instructions by function.

       gcc -O2 -shared -fPIC count.c -o count.so
       qemu-system-arm ... -plugin ./count.so,out=counts.txt

   Counts are kept per phase: whenever a function named asc_phase_<name> is entered, what follows counts as <name>.
   One line per phase and function: phase, function, instructions, separated by tabs; and per phase a line with the
   function "longest": the most instructions between its beginning and its end. The few declarations of
   qemu-plugin.h that are needed stand here because the header is in no Debian package. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_CB_NO_REGS = 0, QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
#define EXPORTED __attribute__((visibility("default")))

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *);

EXPORTED int qemu_plugin_version = 1;

enum { MAX_FUNCTIONS = 4096, MAX_PHASES = 64 };
static const char phase_prefix[] = "asc_phase_";

static char *functions[MAX_FUNCTIONS];
static uint64_t running[MAX_FUNCTIONS]; /* since the phase began; what translated code adds to */
static uint64_t counts[MAX_PHASES][MAX_FUNCTIONS];
static uint64_t longest[MAX_PHASES];
static char *phases[MAX_PHASES] = {"start"};
static int n_functions, n_phases = 1, phase;
static const char *out = "counts.txt";

static int find(char **names, int *n, int most, const char *name)
{
    for (int i = 0; i < *n; i++)
        if (!strcmp(names[i], name))
            return i;
    if (*n == most)
        return most - 1;
    names[*n] = strdup(name);
    return (*n)++;
}

static void end_phase(void)
{
    uint64_t total = 0;
    for (int i = 0; i < n_functions; i++) {
        counts[phase][i] += running[i];
        total += running[i];
        running[i] = 0;
    }
    longest[phase] = total > longest[phase] ? total : longest[phase];
}

static void enter_phase(unsigned cpu, void *name)
{
    (void)cpu;
    end_phase();
    phase = find(phases, &n_phases, MAX_PHASES, name);
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    const size_t n = qemu_plugin_tb_n_insns(block);
    const char *symbol = n ? qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0)) : NULL;
    const int function = find(functions, &n_functions, MAX_FUNCTIONS, symbol ? symbol : "?");
    char *name = functions[function];
    if (!strncmp(name, phase_prefix, sizeof phase_prefix - 1))
        qemu_plugin_register_vcpu_tb_exec_cb(block, enter_phase, QEMU_PLUGIN_CB_NO_REGS, name + sizeof phase_prefix - 1);
    qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64, &running[function], n);
}

static void finished(qemu_plugin_id_t id, void *unused)
{
    (void)id;
    (void)unused;
    end_phase();
    FILE *file = fopen(out, "w");
    for (int i = 0; file && i < n_phases; i++) {
        fprintf(file, "%s\tlongest\t%llu\n", phases[i], (unsigned long long)longest[i]);
        for (int j = 0; j < n_functions; j++)
            if (counts[i][j])
                fprintf(file, "%s\t%s\t%llu\n", phases[i], functions[j], (unsigned long long)counts[i][j]);
    }
    if (!file || fclose(file))
        perror(out);
}

EXPORTED int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = strdup(argv[i] + 4);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
