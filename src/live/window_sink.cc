#include "live/window_sink.h"

#ifdef MFS_HAVE_SDL
#include <SDL.h>

#include <algorithm>
#endif

namespace mfs {

#ifndef MFS_HAVE_SDL

StatusOr<std::unique_ptr<LiveSink>> MakeWindowSink(const WindowOptions& /*options*/) {
  return Unsupported("this mfs was built without SDL2, so it has no window; install libsdl2-dev and build again, or use --page");
}

#else

namespace {

class WindowSink : public LiveSink {
 public:
  explicit WindowSink(const WindowOptions& options) : options_(options) {}
  ~WindowSink() override {
    // On the thread that destroys the loop; SDL allows it after the window's own thread has ended.
    if (texture_ != nullptr) SDL_DestroyTexture(texture_);
    if (renderer_ != nullptr) SDL_DestroyRenderer(renderer_);
    if (window_ != nullptr) SDL_DestroyWindow(window_);
    if (started_) SDL_QuitSubSystem(SDL_INIT_VIDEO);
  }
  std::string Name() const override { return "window"; }

  Status Start(const std::atomic<bool>* /*stop*/) override {
    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1");  // Ctrl-C is the program's
    SDL_SetHint(SDL_HINT_VIDEO_ALLOW_SCREENSAVER, "1");
    if (SDL_InitSubSystem(SDL_INIT_VIDEO) != 0) return Unsupported(std::string("no window can be opened (") + SDL_GetError() + "); use --page on a machine without a screen");
    started_ = true;
    return Status::Ok();
  }

  Status Write(const LiveFrame& frame) override {
    const bool sideways = frame.orientation >= 5;
    const int w = sideways ? frame.av->height : frame.av->width, h = sideways ? frame.av->width : frame.av->height;
    if (window_ == nullptr) MFS_RETURN_IF_ERROR(Open(w, h));
    const AVPixelFormat pixels = PixelsFor(static_cast<AVPixelFormat>(frame.av->format));
    const AVFrame* out = nullptr;
    MFS_RETURN_IF_ERROR(fitter_.Fit(frame, pixels, w, h, &out));
    const SDL_YUV_CONVERSION_MODE matrix = MatrixOf(out);
    if (texture_ == nullptr || w != width_ || h != height_ || pixels != pixels_ || matrix != matrix_) {
      if (texture_ != nullptr) SDL_DestroyTexture(texture_);
      SDL_SetYUVConversionMode(matrix);  // some renderers look at it when they make a texture, others when they fill it
      texture_ = SDL_CreateTexture(renderer_, SdlFormat(pixels), SDL_TEXTUREACCESS_STREAMING, w, h);
      if (texture_ == nullptr) return IoError(std::string("the window cannot show the picture: ") + SDL_GetError());
      SDL_RenderSetLogicalSize(renderer_, w, h);
      width_ = w, height_ = h, pixels_ = pixels, matrix_ = matrix;
    }
    int bad = 0;
    switch (pixels) {
      case AV_PIX_FMT_YUV420P: bad = SDL_UpdateYUVTexture(texture_, nullptr, out->data[0], out->linesize[0], out->data[1], out->linesize[1], out->data[2], out->linesize[2]); break;
      case AV_PIX_FMT_NV12: bad = SDL_UpdateNVTexture(texture_, nullptr, out->data[0], out->linesize[0], out->data[1], out->linesize[1]); break;
      default: bad = SDL_UpdateTexture(texture_, nullptr, out->data[0], out->linesize[0]);
    }
    if (bad != 0) return IoError(std::string("the window cannot show the picture: ") + SDL_GetError());
    SDL_SetRenderDrawColor(renderer_, 0, 0, 0, 255);
    SDL_RenderClear(renderer_);
    SDL_RenderCopy(renderer_, texture_, nullptr, nullptr);
    SDL_RenderPresent(renderer_);
    return Status::Ok();
  }

  Status Idle() override {
    if (window_ == nullptr) return Status::Ok();
    SDL_Event e;
    while (SDL_PollEvent(&e) != 0) {
      if (e.type == SDL_QUIT) return Cancelled("the window was closed");
      if (e.type != SDL_KEYDOWN || e.key.repeat != 0) continue;
      switch (e.key.keysym.sym) {
        case SDLK_ESCAPE:
        case SDLK_q: return Cancelled("the window was closed");
        case SDLK_m: Press(WindowKey::kMirror); break;
        case SDLK_SPACE: Press(WindowKey::kPause); break;
        case SDLK_RIGHT: Press(WindowKey::kNext); break;
        case SDLK_LEFT: Press(WindowKey::kPrevious); break;
        case SDLK_f:
          full_ = !full_;
          SDL_SetWindowFullscreen(window_, full_ ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
          Press(WindowKey::kFullScreen);
          break;
        default: break;
      }
    }
    return Status::Ok();
  }
  bool wants_repeats() const override { return true; }  // drawn again after it was covered

 private:
  // Formats that SDL takes as they are need no conversion; full-range planes look right only as BT.601 JPEG, which the renderer does not ask for.
  static AVPixelFormat PixelsFor(AVPixelFormat p) {
    switch (p) {
      case AV_PIX_FMT_NV12:
      case AV_PIX_FMT_YUYV422:
      case AV_PIX_FMT_RGB24:
      case AV_PIX_FMT_BGR24: return p;
      default: return AV_PIX_FMT_YUV420P;
    }
  }
  static Uint32 SdlFormat(AVPixelFormat p) {
    switch (p) {
      case AV_PIX_FMT_NV12: return SDL_PIXELFORMAT_NV12;
      case AV_PIX_FMT_YUYV422: return SDL_PIXELFORMAT_YUY2;
      case AV_PIX_FMT_RGB24: return SDL_PIXELFORMAT_RGB24;
      case AV_PIX_FMT_BGR24: return SDL_PIXELFORMAT_BGR24;
      default: return SDL_PIXELFORMAT_IYUV;
    }
  }
  // SDL would go by the size alone; cameras are BT.601 in any. It knows no BT.2020, to which BT.709 is the nearest.
  static SDL_YUV_CONVERSION_MODE MatrixOf(const AVFrame* frame) {
    const FrameView view = MakeView(frame, 1);
    return view.model == ColorModel::kYuv && view.kr < 0.28f ? SDL_YUV_CONVERSION_BT709 : SDL_YUV_CONVERSION_BT601;
  }
  void Press(WindowKey key) {
    if (options_.key) options_.key(key);
  }
  Status Open(int w, int h) {
    const double shrink = std::min({1.0, 1280.0 / w, 800.0 / h});
    window_ = SDL_CreateWindow(options_.title.c_str(), SDL_WINDOWPOS_CENTERED, SDL_WINDOWPOS_CENTERED, std::max(160, static_cast<int>(w * shrink)), std::max(120, static_cast<int>(h * shrink)),
                               SDL_WINDOW_RESIZABLE);
    if (window_ != nullptr) renderer_ = SDL_CreateRenderer(window_, -1, 0);
    if (window_ != nullptr && renderer_ == nullptr) renderer_ = SDL_CreateRenderer(window_, -1, SDL_RENDERER_SOFTWARE);
    if (renderer_ == nullptr) return IoError(std::string("no window can be opened: ") + SDL_GetError());
    return Status::Ok();
  }

  WindowOptions options_;
  bool started_ = false, full_ = false;
  SDL_Window* window_ = nullptr;
  SDL_Renderer* renderer_ = nullptr;
  SDL_Texture* texture_ = nullptr;
  int width_ = 0, height_ = 0;
  AVPixelFormat pixels_ = AV_PIX_FMT_NONE;
  SDL_YUV_CONVERSION_MODE matrix_ = SDL_YUV_CONVERSION_AUTOMATIC;
  FrameFitter fitter_;
};

}  // namespace

StatusOr<std::unique_ptr<LiveSink>> MakeWindowSink(const WindowOptions& options) { return std::unique_ptr<LiveSink>(new WindowSink(options)); }

#endif  // MFS_HAVE_SDL

}  // namespace mfs
