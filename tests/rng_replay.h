/* rng_replay.h - draws again what tools/record-rng.py wrote down of PyTorch. */
#ifndef RNG_REPLAY_H
#define RNG_REPLAY_H

/* Replays a file with the default generator and fails the running test at the first line whose outcome differs. Returns
 * how many outcomes were compared. */
int rng_replay(const char *path);

#endif
