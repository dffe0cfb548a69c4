/* conv2d_tiles_off.h - see conv2d_tiles.h. */
#undef CHANNELS
#undef MOST_PIXELS
#undef WEIGHT_CHANNELS
#undef WEIGHT_TAPS
#undef WINDOW_CHANNELS
#undef PIXEL_SIZES
#undef WEIGHT_SIZES
#undef WINDOW_SIZES
#undef WINDOW_TILES
#undef UP_TO_2
#undef UP_TO_3
#undef UP_TO_4
#undef UP_TO_5
#undef UP_TO_6
#undef UP_TO_8
