#include "swap/persons.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace mfs {
namespace {

constexpr int kCheckEvery = 10;    // frames between two looks at a track that is known and alone: for so long a dissolve may show one with the other's face
constexpr int kStandsIn = 25;      // ... at whoever stands in for the person of `--faces largest`
constexpr int kTries = 8;          // looks, every second frame, at a track that nobody is recognised in
constexpr int kAfterCrowd = 12;    // frames for which a track counts as crowded after another face was near
constexpr float kClear = 0.1f;     // by so much must another person fit better than the one that a track has
constexpr float kStranger = 0.1f;  // below it, three looks in a row, a face is not its person any more
constexpr float kNear = 0.35f;     // a face is near when the boxes, widened by this share of their sides, touch

struct Pair {
  float cosine;
  int face, reference;
};

bool Near(const Rect& a, const Rect& b) {
  const float mx = kNear * std::max(a.width(), b.width()), my = kNear * std::max(a.height(), b.height());
  return a.x0 - mx < b.x1 && b.x0 - mx < a.x1 && a.y0 - my < b.y1 && b.y0 - my < a.y1;
}

}  // namespace

std::vector<int> AssignPersons(const std::vector<PersonEmbedding>& faces, const std::vector<PersonEmbedding>& references, float similarity) {
  std::vector<Pair> pairs;
  for (size_t f = 0; f < faces.size(); ++f) {
    for (size_t r = 0; r < references.size(); ++r) {
      const float cosine = CosineSimilarity(faces[f], references[r]);
      if (cosine >= similarity) pairs.push_back({cosine, static_cast<int>(f), static_cast<int>(r)});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.cosine > b.cosine; });
  std::vector<int> person(faces.size(), -1);
  std::vector<bool> taken(references.size());
  for (const Pair& p : pairs) {
    if (person[p.face] >= 0 || taken[p.reference]) continue;
    person[p.face] = p.reference;
    taken[p.reference] = true;
  }
  return person;
}

StatusOr<std::vector<int>> PersonKeeper::Update(const std::vector<TrackedFace>& tracks, const std::vector<PersonEmbedding>& references, float similarity,
                                                const std::function<StatusOr<PersonEmbedding>(const Face&)>& embed) {
  ++frame_;
  std::vector<int> person(tracks.size(), -1);
  for (size_t i = 0; i < tracks.size(); ++i) {
    const TrackedFace& t = tracks[i];
    Known& k = tracks_[t.id];
    k.last_frame = frame_;
    bool near = false;
    for (size_t j = 0; j < tracks.size(); ++j) near = near || (j != i && Near(t.face.box, tracks[j].face.box));
    if (near) k.crowded_until = t.age + kAfterCrowd;
    const bool crowded = t.age <= k.crowded_until;
    const int since = k.checked_at < 0 ? kCheckEvery : t.age - k.checked_at;
    const bool due = k.checked_at < 0 || crowded || t.found_again || since >= kCheckEvery || (k.person < 0 && k.tries < kTries && since >= 2) || (k.misses > 0 && since >= 5);
    if (!t.held && due) {
      MFS_ASSIGN_OR_RETURN(const PersonEmbedding z, embed(t.face));
      ++embeddings_;
      k.checked_at = t.age;
      int best = -1;
      float best_cosine = -2;
      for (size_t r = 0; r < references.size(); ++r) {
        const float cosine = CosineSimilarity(z, references[r]);
        if (cosine > best_cosine) best = static_cast<int>(r), best_cosine = cosine;
      }
      k.cosine = k.person >= 0 && k.person < static_cast<int>(references.size()) ? CosineSimilarity(z, references[k.person]) : -1;
      if (best >= 0 && best_cosine >= similarity && (k.person < 0 || (best != k.person && best_cosine > k.cosine + kClear))) {
        k.person = best;
        k.cosine = best_cosine;
      }
      k.tries = k.person < 0 ? k.tries + 1 : 0;
      if (k.person >= 0) {
        k.misses = k.cosine < (crowded ? similarity - 0.1f : kStranger) ? k.misses + 1 : 0;
        k.doubt = crowded && k.misses > 0;
        const bool stranger = k.misses >= 3 || (t.found_again && k.misses > 0);
        if (!crowded && stranger) k.person = -1, k.misses = 0, k.tries = 0;
      }
    }
    // While others are near, a face that is not seen may be theirs.
    if (k.person >= 0 && !(crowded && (t.held || k.doubt))) person[i] = k.person;
  }
  // A person is in one place.
  for (size_t i = 0; i < tracks.size(); ++i) {
    for (size_t j = 0; j < tracks.size(); ++j) {
      if (i == j || person[i] < 0 || person[i] != person[j] || tracks[i].hidden || tracks[j].hidden) continue;
      const Known &a = tracks_[tracks[i].id], &b = tracks_[tracks[j].id];
      const bool first = tracks[i].held != tracks[j].held ? tracks[i].held : a.cosine < b.cosine;  // who is seen comes before who was
      person[first ? i : j] = -1;
    }
  }
  for (auto it = tracks_.begin(); it != tracks_.end();) it = it->second.last_frame < frame_ ? tracks_.erase(it) : std::next(it);
  return person;
}

StatusOr<size_t> LargestKeeper::Update(const std::vector<TrackedFace>& tracks, float similarity, const std::function<StatusOr<PersonEmbedding>(const Face&)>& embed) {
  constexpr float kClearlyLarger = 1.4f;  // in area
  if (tracks.empty()) return InvalidArgument("there is no track to choose from");
  size_t chosen = tracks.size(), largest = 0;
  while (largest + 1 < tracks.size() && tracks[largest].hidden) ++largest;
  for (size_t i = 0; i < tracks.size(); ++i) {
    if (tracks[i].id == track_) chosen = i;
  }
  const bool lost = chosen == tracks.size();
  // Found where it was lost, it may be somebody who stepped before it.
  if (!lost && known_ && own_ && tracks[chosen].found_again && !tracks[chosen].held) {
    MFS_ASSIGN_OR_RETURN(const PersonEmbedding z, embed(tracks[chosen].face));
    own_ = CosineSimilarity(z, person_) >= similarity;
  }
  const std::vector<int> before = std::exchange(there_, {});
  for (const TrackedFace& t : tracks) {
    if (t.age >= kTries) there_.push_back(t.id);  // in its first frames a face may be turned away, or half of it in a fade
  }
  size_t again = tracks.size();
  if (known_ && (lost || !own_ || tracks[chosen].held)) {  // is one of the new faces the person?
    float best = similarity;
    // Now and then all are looked at again: one may be the person, come back with the head turned. Looked at so often, a stranger would pass one day: they have to be more alike.
    const bool once_more = !lost && !own_ && ++doubts_ % kStandsIn == 0;
    for (size_t i = 0; i < tracks.size(); ++i) {
      const bool known_of = std::find(before.begin(), before.end(), tracks[i].id) != before.end();
      if (tracks[i].held || (known_of && !once_more)) continue;
      MFS_ASSIGN_OR_RETURN(const PersonEmbedding z, embed(tracks[i].face));
      const float cosine = CosineSimilarity(z, person_);
      if (cosine >= (known_of ? std::max(best, similarity + kClear) : best)) best = cosine, again = i;
    }
  }
  if (again < tracks.size()) {
    chosen = again;
    own_ = true;
    found_again_ = !seeded_;  // a seeded one only begins here
    seeded_ = false;
  } else if (lost) {
    chosen = largest;
    own_ = !known_;
    found_again_ = false;
  } else if (!keep_ && !found_again_ && tracks[largest].face.box.area() > kClearlyLarger * tracks[chosen].face.box.area()) {
    chosen = largest;
    if (own_) known_ = false;  // another person from here on
  }
  track_ = tracks[chosen].id;
  if (own_ && !known_ && !tracks[chosen].held) {
    MFS_ASSIGN_OR_RETURN(person_, embed(tracks[chosen].face));
    known_ = true;
  }
  return chosen;
}

std::vector<int> ClusterPersons(const std::vector<PersonEmbedding>& faces, float similarity) {
  const int n = static_cast<int>(faces.size());
  // Average linkage: the mean cosine between two clusters is the dot product of their sums over the product of their sizes.
  std::vector<int> size(n, 1), cluster(n);
  std::iota(cluster.begin(), cluster.end(), 0);
  std::vector<std::vector<float>> dot(n, std::vector<float>(n));
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < i; ++j) dot[i][j] = dot[j][i] = CosineSimilarity(faces[i], faces[j]);
  }
  for (;;) {
    int a = -1, b = -1;
    float best = similarity;
    for (int i = 0; i < n; ++i) {
      if (size[i] == 0) continue;
      for (int j = i + 1; j < n; ++j) {
        if (size[j] == 0) continue;
        const float mean = dot[i][j] / (static_cast<float>(size[i]) * size[j]);
        if (mean > best) best = mean, a = i, b = j;
      }
    }
    if (a < 0) break;
    for (int k = 0; k < n; ++k) dot[a][k] = dot[k][a] = dot[a][k] + dot[b][k];
    size[a] += size[b];
    size[b] = 0;
    for (int& c : cluster) c = c == b ? a : c;
  }
  std::vector<int> order;
  for (int i = 0; i < n; ++i) {
    if (size[i] > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return size[a] > size[b]; });  // a cluster's number is its first face
  std::vector<int> rank(n);
  for (size_t i = 0; i < order.size(); ++i) rank[order[i]] = static_cast<int>(i);
  for (int& c : cluster) c = rank[c];
  return cluster;
}

}  // namespace mfs
