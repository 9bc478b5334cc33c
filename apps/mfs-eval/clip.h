#ifndef MFS_APPS_MFS_EVAL_CLIP_H_
#define MFS_APPS_MFS_EVAL_CLIP_H_

// mfs-eval clip TARGET OUTPUT (--source PHOTO | --map REFERENCE=SOURCE ...) : how steady a swapped clip is and whether every person
// became the right one, as JSON on stdout. Returns the exit status.
int RunClip(int argc, char** argv);

#endif  // MFS_APPS_MFS_EVAL_CLIP_H_
