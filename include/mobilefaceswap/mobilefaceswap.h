/* MobileFaceSwap: face swapping on an ordinary CPU. C interface.
 *
 *   mfs_engine* engine = NULL;
 *   mfs_engine_options options = mfs_engine_default_options();
 *   if (mfs_engine_create(&options, &engine) != MFS_OK) ...
 *
 *   const char* photos[] = {"person.jpg"};
 *   mfs_identity* person = NULL;
 *   if (mfs_identity_create(engine, photos, 1, &person) != MFS_OK) puts(mfs_last_error(engine));
 *
 *   mfs_swap_options swap = mfs_swap_default_options();
 *   mfs_engine_set_identity(engine, person, &swap);
 *   int swapped = 0;
 *   mfs_swap_pixels(engine, &image, &swapped);                        // a picture, in place, in your own buffer
 *   mfs_stream_swap(stream, &frame, seconds, &swapped);               // a frame of a camera or film (mfs_stream_create)
 *   mfs_swap_video(engine, "in.mp4", "out.mp4", NULL, NULL, NULL);    // or a whole file
 *
 *   mfs_identity_destroy(person);
 *   mfs_engine_destroy(engine);
 *
 * What is written carries a note in its metadata that it was made with a face swap; pixels carry none, saying so is up to the caller.
 *
 * Every function that can fail returns a status; mfs_last_error() then holds one plain sentence. We print nothing, abort nothing and
 * keep no global state; what libraries below us do is in docs/embedding.md. An engine serves one thread at a time; use one per thread. Objects are freed by their destroy
 * function only; NULL is allowed there. Identities are only read: they may be used with any engine, by several threads at once, and outlive the engine that made them. Strings are UTF-8. Use it with the consent of the people shown: see README.
 */
#ifndef MOBILEFACESWAP_MOBILEFACESWAP_H_
#define MOBILEFACESWAP_MOBILEFACESWAP_H_

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define MFS_API
#else
#define MFS_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  MFS_OK = 0,
  MFS_INVALID_ARGUMENT = 1, /* the call makes no sense: null, wrong size, wrong stride */
  MFS_NOT_FOUND = 2,        /* a file or model is not there */
  MFS_ALREADY_EXISTS = 3,   /* would overwrite */
  MFS_IO_ERROR = 4,         /* reading or writing failed */
  MFS_DISK_FULL = 5,
  MFS_CORRUPT_DATA = 6,  /* a file is cut, tampered with or not what it says it is */
  MFS_UNSUPPORTED = 7,   /* valid, but this build cannot do it */
  MFS_NO_FACE = 8,       /* no face where one is needed */
  MFS_OUT_OF_MEMORY = 9, /* or above a limit */
  MFS_CANCELLED = 10,
  MFS_INTERNAL = 11 /* a bug in this library */
} mfs_status;

typedef struct mfs_engine mfs_engine;     /* the networks and their memory */
typedef struct mfs_identity mfs_identity; /* one person's network weights */
typedef struct mfs_stream mfs_stream;     /* what is known from frame to frame of a camera or film */

typedef struct {
  const char* models_dir; /* folder with third_party.tsv; NULL: $MFS_MODELS, else found beside the library */
  const char* cache_dir;  /* folder with fetched weights; NULL: $MFS_CACHE, else ~/.cache/mobilefaceswap */
  const char* cpu;        /* instruction set of all networks: "avx512", "avx2", "sse4", "scalar", ... (mfs doctor lists them); NULL: $MFS_CPU, else the best */
} mfs_engine_options;

typedef enum { MFS_FACES_LARGEST = 0, MFS_FACES_ALL = 1, MFS_FACES_REFERENCE = 2 } mfs_face_selection;

typedef struct {
  mfs_face_selection faces;
  const char* reference_photo; /* a photo (or identity file) of the person to be replaced, as MFS_FACES_REFERENCE needs it; with MFS_FACES_LARGEST it means that person, too; with MFS_FACES_ALL
                                  MFS_INVALID_ARGUMENT. NULL: none */
  float similarity;            /* for MFS_FACES_REFERENCE: least cosine to that person, -1..1, default 0.35 */
  float strength;              /* 0..1, default 1 */
  int threads;                 /* of the swapping network, 1..64, default 1 */
  float feather;               /* soft inner edge of the mask, share of the 224 px crop's side, 0..0.25, default 0.01 */
  int color_match;             /* take the target's skin colour and light, default 1 */
  int detail_match;            /* take the target's sharpness and grain, default 1 */
  int keep_mouth;              /* keep the target's mouth, default 0 */
  int int8;                    /* the network's matrices in 8 bits: faster, a fifth of a grey level off in the mean; MFS_UNSUPPORTED without AVX-512 VNNI; default 0 */
} mfs_swap_options;

typedef enum { MFS_RGB8 = 0, MFS_BGR8 = 1, MFS_RGBA8 = 2, MFS_BGRA8 = 3, MFS_GRAY8 = 4 } mfs_pixel_format;

/* Pixels owned by the caller. */
typedef struct {
  void* data;
  int width, height; /* pixels */
  ptrdiff_t stride;  /* bytes from a row to the next, at least width times the bytes of a pixel */
  mfs_pixel_format format;
} mfs_image;

typedef struct {
  float x0, y0, x1, y1;   /* box in pixels */
  float score;            /* 0..1 */
  float points[10];       /* x,y of left eye, right eye, nose tip, left and right mouth corner (as seen in the image) */
  float yaw, pitch, roll; /* degrees */
} mfs_face;

typedef struct {
  int64_t frames, swapped, passed_through;
  double seconds;                                    /* wall time */
  double decode, detect, align, swap, paste, encode; /* seconds per stage */
  double looks;                                      /* between swap and paste: colour, detail, masks */
} mfs_video_report;

/* Called once a frame; frames is the number done, total 0 when unknown. Return non-zero to stop (nothing is then written). */
typedef int (*mfs_progress)(void* user, int64_t frames, int64_t total);

/* "0.1.0"; never NULL, static. */
MFS_API const char* mfs_version(void);
/* "no face", ...; never NULL, static. */
MFS_API const char* mfs_status_name(mfs_status status);

MFS_API mfs_engine_options mfs_engine_default_options(void);
MFS_API mfs_swap_options mfs_swap_default_options(void);

/* Makes an engine; *engine is to be freed with mfs_engine_destroy. options may be NULL. The networks are read and checked
 * (SHA-256) when first needed. MFS_UNSUPPORTED: no such cpu level here. On failure *engine still holds an object for mfs_last_error, unless memory was short. */
MFS_API mfs_status mfs_engine_create(const mfs_engine_options* options, mfs_engine** engine);
MFS_API void mfs_engine_destroy(mfs_engine* engine);
/* Why the last call with this engine failed, in one sentence, "" when it did not; valid until the next call with this engine. */
MFS_API const char* mfs_last_error(const mfs_engine* engine);
/* What the last call with this engine left out or did otherwise than may be expected (sound that the container cannot hold, a photo that shows somebody else,
 * the largest of several faces taken, no place for the mark), a sentence a line, "" for nothing; valid until the next call with this engine. */
MFS_API const char* mfs_last_warnings(const mfs_engine* engine);

/* One or several photos of one person -> *identity (free with mfs_identity_destroy). MFS_NO_FACE when a photo shows none. */
MFS_API mfs_status mfs_identity_create(mfs_engine* engine, const char* const* photos, size_t count, mfs_identity** identity);
/* The same from pictures in memory, upright. Messages call them "photo 1" and so on. */
MFS_API mfs_status mfs_identity_create_from_images(mfs_engine* engine, const mfs_image* photos, size_t count, mfs_identity** identity);
MFS_API mfs_status mfs_identity_load(mfs_engine* engine, const char* path, mfs_identity** identity);
/* A .safetensors file of about 1 MB, written whole or not at all; takes the place of a file that is there. */
MFS_API mfs_status mfs_identity_save(mfs_engine* engine, const mfs_identity* identity, const char* path);
/* The same without a file: the bytes are those of one. With data = NULL only *size, the number of bytes, is set; MFS_INVALID_ARGUMENT, and *size, where they are more than capacity. */
MFS_API mfs_status mfs_identity_load_from_memory(mfs_engine* engine, const void* data, size_t size, mfs_identity** identity);
MFS_API mfs_status mfs_identity_save_to_memory(mfs_engine* engine, const mfs_identity* identity, void* data, size_t capacity, size_t* size);
/* Cosine of the two persons' embeddings, -1..1; the same person is usually above 0.35. */
MFS_API mfs_status mfs_identity_compare(mfs_engine* engine, const mfs_identity* a, const mfs_identity* b, float* cosine);
MFS_API void mfs_identity_destroy(mfs_identity* identity);

/* Who is swapped in from now on. The identity may be destroyed afterwards. options may be NULL. */
MFS_API mfs_status mfs_engine_set_identity(mfs_engine* engine, const mfs_identity* identity, const mfs_swap_options* options);
/* Several people of one target at once: who looks like persons[i] (a photo or identity of the target's person) becomes identities[i].
 * options->faces and reference_photo are not used. */
MFS_API mfs_status mfs_engine_set_map(mfs_engine* engine, const mfs_identity* const* persons, const mfs_identity* const* identities, size_t count, const mfs_swap_options* options);

/* Writes up to capacity faces, largest first, and their number to *count. A quick look, for frames: in a large picture small faces beside a large one may be missed. */
MFS_API mfs_status mfs_find_faces(mfs_engine* engine, const mfs_image* image, mfs_face* faces, size_t capacity, size_t* count);
/* Swaps in place; all faces, a reference person and mapped persons are looked for as thoroughly as in files, the largest face quickly. For the frames of a camera or film use a stream: here every call looks anew and may take another person of two equally large ones. Pixels outside the face keep their bits. *swapped (may be NULL):
 * faces swapped, 0 is no error. */
MFS_API mfs_status mfs_swap_pixels(mfs_engine* engine, const mfs_image* image, int* swapped);

/* For the frames of a camera or film, one after the other: faces are followed, which is faster than looking for them in every frame and steadier, and a person keeps the face that was given to it. Free with
 * mfs_stream_destroy, before the engine. One engine may have several streams (of one thread); all swap in who was set last. */
MFS_API mfs_status mfs_stream_create(mfs_engine* engine, mfs_stream** stream);
/* Swaps in place, as mfs_swap_pixels. seconds: when the frame is shown, growing from frame to frame. Errors are told by mfs_last_error of the stream's engine. */
MFS_API mfs_status mfs_stream_swap(mfs_stream* stream, const mfs_image* frame, double seconds, int* swapped);
MFS_API void mfs_stream_destroy(mfs_stream* stream);

/* Files; output must not exist unless overwrite is wanted by the caller, who then removes it first. */
MFS_API mfs_status mfs_swap_picture(mfs_engine* engine, const char* target, const char* output);
/* H.264, in a .webm VP9. Work in progress lies in OUTPUT.mfs-api-part. progress is called by the calling thread; progress, user and report may be NULL. MFS_CORRUPT_DATA with a written output (the error says so): the input broke off or its size
 * changed, what could be read is there. */
MFS_API mfs_status mfs_swap_video(mfs_engine* engine, const char* target, const char* output, mfs_progress progress, void* user, mfs_video_report* report);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* MOBILEFACESWAP_MOBILEFACESWAP_H_ */
