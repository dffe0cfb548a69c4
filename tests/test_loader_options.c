/* test_loader_options.c - what a loader may be told: a sampler, batches of a sampler's making, how items become a
 * batch, and what a worker begins with. */
#include "interpose.h"
#include "support.h"

enum { ITEMS = 10 };
static int64_t size(void *user)
{
    (void)user;
    return ITEMS;
}
static int get(int64_t index, Variable **out, void *user)
{
    (void)user;
    out[0] = ag_full(AG_SCALAR_SHAPE, (double)index);
    return 1;
}
static Dataset *data;
static void begin(void)
{
    support_begin();
    data = ag_dataset_new(size, get, NULL, NULL);
}
static void end(void)
{
    ag_dataset_free(data);
    support_end();
}

/* Gives these items in turn, in batches of 1, 2, 3 ... if it is asked for batches. */
typedef struct given {
    int64_t n, items[ITEMS];
    int passes;
    bool fails, silently;
} given;
static int64_t given_size(void *user) { return ((given *)user)->n; }
static bool given_draw(int64_t *indices, int64_t n, void *user)
{
    given *g = user;
    if (g->fails) return g->silently ? false : ag_mm(ag_ones(AG_SHAPE(2)), ag_ones(AG_SHAPE(2))) != NULL;
    for (int64_t i = 0; i < n; i++) indices[i] = g->items[(i + g->passes) % n];
    g->passes++;
    return true;
}
static int64_t one_more_each(int64_t batch, int64_t left, void *user)
{
    (void)user;
    return batch + 1 < left ? batch + 1 : left;
}
static int64_t too_many(int64_t batch, int64_t left, void *user)
{
    (void)user;
    return batch + left + 1;
}

/* A pass as text: "3 1,4 1," for the batches (3) and (1, 4), (1). */
static const char *pass(DataLoader *loader)
{
    static char text[256];
    char *at = text;
    *at = 0;
    for (Batch batch; ag_data_next(loader, &batch);) {
        ck_assert_int_eq(batch.size, ag_numel(batch.inputs));
        for (int64_t i = 0; i < batch.size; i++)
            at += sprintf(at, "%g%c", support_at(batch.inputs, i), i + 1 < batch.size ? ',' : ' ');
    }
    return text;
}

START_TEST(a_sampler_says_which_items_a_pass_has)
{
    for (int workers = 0; workers < 3; workers++) {
        given g = { .n = 5, .items = { 3, 1, 4, 1, 9 } };
        ag_sampler sampler = { .size = given_size, .draw = given_draw, .user = &g };
        DataLoader *loader = ag_data_loader(data, 2, .sampler = &sampler, .num_workers = workers);
        OK(loader);
        ck_assert_int_eq(ag_data_loader_size(loader), 3);
        ck_assert_str_eq(pass(loader), "3,1 4,1 9 ");
        ck_assert_str_eq(pass(loader), "1,4 1,9 3 "); /* drawn anew */
        OK(ag_data_skip(loader, 1));
        ck_assert_str_eq(pass(loader), "9,3 1 ");
        ag_data_loader_free(loader);
        loader = ag_data_loader(data, 2, .sampler = &sampler, .drop_last = true, .num_workers = workers);
        ck_assert_int_eq(ag_data_loader_size(loader), 2);
        ck_assert_str_eq(pass(loader), "1,9 3,1 ");
        ag_data_loader_free(loader);
    }
}
END_TEST

START_TEST(a_sampler_may_make_the_batches_too)
{
    for (int workers = 0; workers < 3; workers++) {
        given g = { .n = 8, .items = { 0, 1, 2, 3, 4, 5, 6, 7 } };
        ag_sampler sampler = { given_size, given_draw, one_more_each, &g };
        DataLoader *loader = ag_data_loader(data, .sampler = &sampler, .num_workers = workers);
        OK(loader);
        ck_assert_int_eq(ag_data_loader_size(loader), 4);
        ck_assert_str_eq(pass(loader), "0 1,2 3,4,5 6,7 ");
        OK(ag_data_skip(loader, 2));
        ck_assert_str_eq(pass(loader), "4,5,6 7,0 ");
        g.n = 3; /* the next pass is shorter */
        ck_assert_str_eq(pass(loader), "2 0,1 ");
        g.n = 0;
        ck_assert_str_eq(pass(loader), "");
        ag_data_loader_free(loader);
    }
}
END_TEST

START_TEST(what_a_sampler_gives_is_checked)
{
    given g = { .n = 2, .items = { 3, ITEMS } };
    ag_sampler sampler = { given_size, given_draw, NULL, &g }, makes = { given_size, given_draw, too_many, &g },
               lame = { .size = given_size };
    Batch batch;
    DataLoader *loader = ag_data_loader(data, .sampler = &sampler), *batches = ag_data_loader(data, .sampler = &makes);
    REFUSED(ag_data_next(loader, &batch), "data_loader: the sampler gave item 10 of a dataset of 10");
    g.items[1] = -1;
    REFUSED(ag_data_next(loader, &batch), "data_loader: the sampler gave item -1 of a dataset of 10");
    g.items[1] = 4;
    REFUSED(ag_data_next(batches, &batch), "data_loader: the sampler gave batch 0 3 of 2 items");
    g.fails = true;
    REFUSED(ag_data_next(loader, &batch), "mm");
    g.silently = true;
    REFUSED(ag_data_next(loader, &batch), "data_loader: the sampler failed and left no error that says why");
    g = (given){ .n = -3 };
    REFUSED(ag_data_next(loader, &batch), "data_loader: the sampler's size is -3");
    REFUSED(ag_data_loader_size(loader) >= 0, "data_loader: the sampler's size is -3");
    REFUSED(ag_data_loader(data, .sampler = &sampler, .shuffle = true),
            "sampler option is mutually exclusive with shuffle");
    REFUSED(ag_data_loader(data, 2, .sampler = &makes),
            "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last");
    REFUSED(ag_data_loader(data, .sampler = &lame), "data_loader: the sampler has no draw");
    ag_data_loader_free(loader);
    ag_data_loader_free(batches);
}
END_TEST

/* ---- batches of one's own making ---- */

typedef struct collating {
    bool fails, silently;
    int64_t told[4]; /* how often worker i was told that it is one */
    bool refuses;
} collating;
/* The items' sum, and how many they are. */
static int sums(int64_t n, Variable *(*items)[AG_ITEM_PARTS], Variable **out, void *user)
{
    collating *c = user;
    if (c->fails) return c->silently ? 0 : ag_mm(items[0][0], items[0][0]) != NULL;
    out[0] = items[0][0];
    for (int64_t i = 1; i < n; i++) out[0] = ag_add(out[0], items[i][0]);
    out[1] = ag_full(AG_SCALAR_SHAPE, (double)n);
    return 2;
}
START_TEST(collate_makes_a_batch_of_the_items_as_they_are)
{
    for (int workers = 0; workers < 3; workers++) {
        collating c = { 0 };
        DataLoader *loader = ag_data_loader(data, 4, .collate_fn = sums, .user = &c, .num_workers = workers);
        static const double expected[] = { 0 + 1 + 2 + 3, 4 + 5 + 6 + 7, 8 + 9 };
        Batch batch;
        for (int i = 0; i < 3; i++) {
            OK(ag_data_next(loader, &batch));
            VALUES(batch.inputs, expected[i]);
            VALUES(batch.targets, i < 2 ? 4 : 2);
            ck_assert(batch.n_parts == 2 && batch.size == (i < 2 ? 4 : 2));
        }
        ck_assert(!ag_data_next(loader, &batch) && !ag_error());
        c.fails = true;
        REFUSED(ag_data_next(loader, &batch), "mm");
        c.silently = true;
        REFUSED(ag_data_next(loader, &batch), "data_loader: collate_fn gave no batch, and no error that says why");
        ag_data_loader_free(loader);
    }
}
END_TEST

static bool told(int64_t worker, void *user)
{
    collating *c = user;
    __atomic_add_fetch(&c->told[worker], 1, __ATOMIC_RELAXED);
    return !c->refuses || ag_mm(ag_ones(AG_SHAPE(2)), ag_ones(AG_SHAPE(2)));
}
START_TEST(each_worker_is_told_once_before_its_first_batch)
{
    collating c = { 0 };
    DataLoader *loader = ag_data_loader(data, .num_workers = 3, .worker_init_fn = told, .user = &c),
               *alone = ag_data_loader(data, .worker_init_fn = told, .user = &c);
    ck_assert_str_eq(pass(loader), "0 1 2 3 4 5 6 7 8 9 ");
    ck_assert_str_eq(pass(loader), "0 1 2 3 4 5 6 7 8 9 ");
    ag_data_loader_free(loader);
    for (int i = 0; i < 3; i++) ck_assert_int_eq(c.told[i], 1);
    ck_assert_str_eq(pass(alone), "0 1 2 3 4 5 6 7 8 9 ");
    ck_assert(c.told[0] == 1 && c.told[3] == 0);
    c.refuses = true;
    Batch batch;
    loader = ag_data_loader(data, .num_workers = 1, .worker_init_fn = told, .user = &c);
    REFUSED(ag_data_next(loader, &batch), "mm"); /* an error there is the batch's */
    c.refuses = false;
    ck_assert_str_eq(pass(loader), "0 1 2 3 4 5 6 7 8 9 ");
    ag_data_loader_free(loader);
    ag_data_loader_free(alone);
}
END_TEST

START_TEST(without_memory_a_pass_is_an_error_and_nothing_leaks)
{
    given g = { .n = 4, .items = { 3, 1, 4, 1 } };
    collating c = { 0 };
    ag_sampler sampler = { given_size, given_draw, one_more_each, &g };
    int k = 1;
    for (bool undisturbed = false; !undisturbed; k++) {
        DataLoader *loader = ag_data_loader(data, .sampler = &sampler, .collate_fn = sums, .user = &c);
        OK(loader);
        interpose_start(k, false);
        int batches = 0;
        for (Batch batch; ag_data_next(loader, &batch);) batches++;
        undisturbed = interpose_stop() < k;
        ck_assert(ag_error_code() == AG_ENOMEM || (!ag_error() && batches == 3));
        ag_clear_error();
        ag_data_loader_free(loader);
    }
}
END_TEST

int main(void)
{
    const TTest *all[] = { a_sampler_says_which_items_a_pass_has,
                           a_sampler_may_make_the_batches_too,
                           what_a_sampler_gives_is_checked,
                           collate_makes_a_batch_of_the_items_as_they_are,
                           each_worker_is_told_once_before_its_first_batch,
                           without_memory_a_pass_is_an_error_and_nothing_leaks };
    return support_main_with("loader_options", all, sizeof all / sizeof *all, begin, end);
}
