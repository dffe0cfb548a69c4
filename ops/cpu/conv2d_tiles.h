/* conv2d_tiles.h - how much fits into the registers: read once for each type by conv2d_template.h, undone by
 * conv2d_tiles_off.h. ALL_TILES: 1 for float; double does without those that help least.
 *
 * A sum for each channel and pixel, as many pixels as PIXEL_SIZES says for each number of channels, with a register for
 * each of the fewer, weights or pixels, and one for the others; sums of a weight's gradient likewise, for each channel
 * and tap or register of a window. Many channels of few pixels load least of what lies far apart, a channel's pixels;
 * weights lie together. */
// clang-format off
#define CHANNELS        REAL(CHANNELS)
#define MOST_PIXELS     REAL(MOST_PIXELS)
#define WEIGHT_CHANNELS REAL(WEIGHT_CHANNELS)
#define WEIGHT_TAPS     REAL(WEIGHT_TAPS)
#define WINDOW_CHANNELS REAL(WINDOW_CHANNELS)
#if AG_VECTOR_BYTES == 64 && ALL_TILES
#define PIXEL_SIZES(F)  F(1, 8) F(2, 8) F(3, 8) F(4, 6) F(5, 5) F(6, 4) F(7, 3) F(8, 3) F(9, 2) F(10, 2)
#define WEIGHT_SIZES(F) F(1, 5) F(2, 5) F(3, 5) F(4, 5) F(5, 5)
#define WINDOW_SIZES(F) WEIGHT_SIZES(F) F(6, 4) F(7, 3) F(8, 3)
#define WINDOW_TILES    { { 5, 5 }, { 6, 4 }, { 8, 3 } }
enum { CHANNELS = 10, MOST_PIXELS = 8, WEIGHT_CHANNELS = 5, WEIGHT_TAPS = 5, WINDOW_CHANNELS = 8 };
#elif AG_VECTOR_BYTES == 64
#define PIXEL_SIZES(F)  F(1, 4) F(2, 4) F(3, 5) F(4, 6) F(5, 5)
#define WEIGHT_SIZES(F) F(1, 5) F(2, 5) F(3, 5) F(4, 5) F(5, 5)
#define WINDOW_SIZES(F) WEIGHT_SIZES(F)
#define WINDOW_TILES    { { 5, 5 } }
enum { CHANNELS = 5, MOST_PIXELS = 6, WEIGHT_CHANNELS = 5, WEIGHT_TAPS = 5, WINDOW_CHANNELS = 5 };
#elif AG_VECTOR_BYTES == 32
#define PIXEL_SIZES(F)  F(1, 6) F(2, 6) F(3, 4)
#define WEIGHT_SIZES(F) F(1, 4) F(2, 4) F(3, 4)
#define WINDOW_SIZES(F) WEIGHT_SIZES(F)
#define WINDOW_TILES    { { 3, 4 } }
enum { CHANNELS = 3, MOST_PIXELS = 6, WEIGHT_CHANNELS = 3, WEIGHT_TAPS = 4, WINDOW_CHANNELS = 3 };
#else
#define PIXEL_SIZES(F)  F(1, 5) F(2, 5) F(3, 3)
#define WEIGHT_SIZES(F) F(1, 3) F(2, 3) F(3, 3)
#define WINDOW_SIZES(F) WEIGHT_SIZES(F)
#define WINDOW_TILES    { { 3, 3 } }
enum { CHANNELS = 3, MOST_PIXELS = 5, WEIGHT_CHANNELS = 3, WEIGHT_TAPS = 3, WINDOW_CHANNELS = 3 };
#endif
/* F for each of the sizes of so many channels, up to the most */
#define UP_TO_2(F, o) F(o, 1) F(o, 2)
#define UP_TO_3(F, o) UP_TO_2(F, o) F(o, 3)
#define UP_TO_4(F, o) UP_TO_3(F, o) F(o, 4)
#define UP_TO_5(F, o) UP_TO_4(F, o) F(o, 5)
#define UP_TO_6(F, o) UP_TO_5(F, o) F(o, 6)
#define UP_TO_8(F, o) UP_TO_6(F, o) F(o, 7) F(o, 8)
// clang-format on
