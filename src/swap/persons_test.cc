#include "swap/persons.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace mfs {
namespace {

// A unit vector near the person's own, random one; spread 1 makes two looks at a person about as alike as two photos (cosine 0.5).
PersonEmbedding Look(int person, float spread, unsigned seed) {
  std::mt19937 own(1000 + person), rng(seed);
  std::normal_distribution<float> normal(0, 1);
  PersonEmbedding z;
  double sum = 0;
  for (float& v : z) v = normal(own) + spread * normal(rng), sum += double{v} * v;
  for (float& v : z) v = static_cast<float>(v / std::sqrt(sum));
  return z;
}

TrackedFace At(int id, float x, int age, bool held = false) {
  TrackedFace t;
  t.id = id, t.age = age, t.held = held;
  t.face.box = {x, 0, x + 100, 120};
  t.face.score = static_cast<float>(id);  // tells the fake embedder who it is
  return t;
}

TEST(AssignPersons, EachPersonOnceTheBestFirst) {
  const std::vector<PersonEmbedding> references = {Look(1, 0, 0), Look(2, 0, 0)};
  const std::vector<PersonEmbedding> faces = {Look(3, 0.5f, 1), Look(2, 0.8f, 2), Look(2, 0.3f, 3), Look(1, 0.8f, 4)};
  EXPECT_EQ(AssignPersons(faces, references, 0.35f), (std::vector<int>{-1, -1, 1, 0}));
  EXPECT_TRUE(AssignPersons({}, references, 0.35f).empty());
}

// Tracks as {id, person, width}; the persons are told apart by Look.
TEST(LargestKeeper, FindsItsPersonAgainBehindACut) {
  LargestKeeper keeper;
  const auto embed = [](const Face& f) -> StatusOr<PersonEmbedding> { return Look(static_cast<int>(f.score), 0.5f, 7); };
  const auto chosen = [&](const std::vector<std::array<int, 3>>& faces) {
    std::vector<TrackedFace> tracks;
    for (const auto& [id, person, width] : faces) {
      tracks.push_back(At(id, 0, 5));
      tracks.back().face.score = static_cast<float>(person);
      tracks.back().face.box = {0, 0, static_cast<float>(width), static_cast<float>(width)};
    }
    return tracks[keeper.Update(tracks, 0.35f, embed).value()].id;
  };
  EXPECT_EQ(chosen({{1, 1, 100}, {2, 2, 90}}), 1);
  EXPECT_EQ(chosen({{2, 2, 105}, {1, 1, 100}}), 1) << "a little larger is not enough";
  // A cut: the other one is nearer to the camera now.
  EXPECT_EQ(chosen({{3, 2, 200}, {4, 1, 100}}), 4);
  EXPECT_EQ(chosen({{3, 2, 200}, {4, 1, 100}}), 4);
  EXPECT_TRUE(keeper.own());
  // A cut to the other one alone, who is swapped; then the person comes into the picture, smaller.
  EXPECT_EQ(chosen({{5, 2, 100}}), 5);
  EXPECT_FALSE(keeper.own());
  EXPECT_EQ(chosen({{5, 2, 100}, {6, 3, 80}}), 5);
  EXPECT_EQ(chosen({{5, 2, 100}, {6, 3, 80}, {7, 1, 50}}), 7);
  EXPECT_EQ(chosen({{5, 2, 100}, {6, 3, 80}, {7, 1, 50}}), 7);
  EXPECT_TRUE(keeper.own());
}

// A hand before the face: nobody else is taken for it meanwhile. And a person whose track comes back is known again.
TEST(LargestKeeper, WaitsForAHiddenFaceAndKnowsOneThatComesBack) {
  const auto embed = [](const Face& f) -> StatusOr<PersonEmbedding> { return Look(static_cast<int>(f.score), 0.5f, 7); };
  const auto hidden = [](TrackedFace t) {
    t.held = t.hidden = true;
    return t;
  };
  LargestKeeper keeper;
  EXPECT_EQ(*keeper.Update({At(1, 0, 0), At(2, 300, 0)}, 0.35f, embed), 0u);
  EXPECT_EQ(*keeper.Update({hidden(At(1, 0, 1)), At(2, 300, 1)}, 0.35f, embed), 0u);
  EXPECT_EQ(*keeper.Update({At(1, 0, 2), At(2, 300, 2)}, 0.35f, embed), 0u);
  EXPECT_EQ(*keeper.Update({At(2, 300, 3)}, 0.35f, embed), 0u);
  EXPECT_EQ(*keeper.Update({At(2, 300, 4), At(1, 0, 4)}, 0.35f, embed), 1u);
  // The person jumps: the new track is his, the old one only waits.
  TrackedFace waits = At(1, 0, 5), jumped = At(3, 200, 0);
  waits.held = true, jumped.face.score = 1;
  EXPECT_EQ(*keeper.Update({At(2, 300, 5), waits, jumped}, 0.35f, embed), 2u);
  LargestKeeper first;  // no new person is learned from what hides a face
  EXPECT_EQ(*first.Update({hidden(At(1, 0, 0)), At(2, 300, 0)}, 0.35f, embed), 1u);
}

// Somebody steps before the person and takes the track over: with --hide-without-face the person's own face would be shown.
TEST(LargestKeeper, ATrackThatIsFoundAgainMayBeSomebodyElse) {
  const auto embed = [](const Face& f) -> StatusOr<PersonEmbedding> { return Look(static_cast<int>(f.score), 0.5f, 7); };
  LargestKeeper keeper;
  EXPECT_EQ(*keeper.Update({At(1, 0, 0)}, 0.35f, embed), 0u);
  TrackedFace other = At(1, 0, 20);
  other.found_again = true, other.face.score = 2;
  EXPECT_EQ(*keeper.Update({other}, 0.35f, embed), 0u);
  EXPECT_FALSE(keeper.own());
  other.found_again = false, ++other.age;
  TrackedFace person = At(2, 300, 5);
  person.face.score = 1;
  EXPECT_EQ(*keeper.Update({other, person}, 0.35f, embed), 1u);
  EXPECT_TRUE(keeper.own());
  // The same person behind a hand stays.
  person.found_again = true, ++person.age;
  EXPECT_EQ(*keeper.Update({other, person}, 0.35f, embed), 1u);
  EXPECT_TRUE(keeper.own());
}

// Another part of the film: its person is known, and is taken though somebody is a little larger; a clearly larger face takes over as ever.
TEST(LargestKeeper, ASeededPersonIsTakenWhereSeen) {
  const auto embed = [](const Face& f) -> StatusOr<PersonEmbedding> { return Look(static_cast<int>(f.score), 0.5f, 7); };
  const auto wide = [](int id, float width) {
    TrackedFace t = At(id, 0, 5);
    t.face.box = {0, 0, width, width};
    return t;
  };
  LargestKeeper keeper;
  keeper.Seed(Look(2, 0.5f, 9));
  EXPECT_EQ(*keeper.Update({wide(1, 120), wide(2, 110)}, 0.35f, embed), 1u);
  EXPECT_EQ(*keeper.Update({wide(1, 120), wide(2, 110)}, 0.35f, embed), 1u);
  EXPECT_EQ(*keeper.Update({wide(1, 240), wide(2, 110)}, 0.35f, embed), 0u);
  LargestKeeper alone;  // not there yet
  alone.Seed(Look(3, 0.5f, 9));
  EXPECT_EQ(*alone.Update({wide(1, 120)}, 0.35f, embed), 0u);
  EXPECT_EQ(*alone.Update({wide(1, 120), wide(3, 90)}, 0.35f, embed), 1u);
}

TEST(LargestKeeper, ClearlyLargerTakesOver) {
  LargestKeeper keeper;
  int embeddings = 0;
  const auto embed = [&](const Face& f) -> StatusOr<PersonEmbedding> { return ++embeddings, Look(static_cast<int>(f.score), 0.5f, 7); };
  EXPECT_EQ(*keeper.Update({At(1, 0, 0)}, 0.35f, embed), 0u);
  TrackedFace near = At(2, 0, 0);
  near.face.box = {0, 0, 200, 240};
  EXPECT_EQ(*keeper.Update({near, At(1, 0, 1)}, 0.35f, embed), 0u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(*keeper.Update({near, At(1, 0, 1)}, 0.35f, embed), 0u);
  EXPECT_EQ(embeddings, 2);
  EXPECT_FALSE(keeper.Update({}, 0.35f, embed).ok());
}

// Somebody leans in before the camera: the user's own face stays the one that is looked after.
TEST(LargestKeeper, AKeptPersonIsNotReplacedBySize) {
  const auto embed = [](const Face& f) -> StatusOr<PersonEmbedding> { return Look(static_cast<int>(f.score), 0.5f, 7); };
  LargestKeeper keeper;
  keeper.KeepPerson();
  EXPECT_EQ(*keeper.Update({At(1, 0, 0)}, 0.35f, embed), 0u);
  TrackedFace near = At(2, 0, 0);
  near.face.box = {0, 0, 300, 360};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(*keeper.Update({near, At(1, 0, 1 + i)}, 0.35f, embed), 1u);
  EXPECT_TRUE(keeper.own());
  // The user is gone: the other one is swapped, but is known not to be the user.
  EXPECT_EQ(*keeper.Update({near}, 0.35f, embed), 0u);
  EXPECT_FALSE(keeper.own());
  EXPECT_EQ(*keeper.Update({near, At(3, 0, 0)}, 0.35f, [](const Face& f) -> StatusOr<PersonEmbedding> { return Look(f.score == 3 ? 1 : 2, 0.5f, 7); }), 1u);
  EXPECT_TRUE(keeper.own());
}

// Back with the head turned away, a person is not known at first, but after a second or so.
TEST(LargestKeeper, WhoStandsInIsLookedAtAgain) {
  int as = 1;
  const auto embed = [&](const Face&) -> StatusOr<PersonEmbedding> { return Look(as, 0.5f, 7); };
  LargestKeeper keeper;
  EXPECT_EQ(*keeper.Update({At(1, 0, 0)}, 0.35f, embed), 0u);
  as = 9;
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*keeper.Update({At(2, 0, i)}, 0.35f, embed), 0u);
  EXPECT_FALSE(keeper.own());
  as = 1;
  for (int i = 20; i < 60; ++i) EXPECT_EQ(*keeper.Update({At(2, 0, i)}, 0.35f, embed), 0u);
  EXPECT_TRUE(keeper.own());
  // The same while somebody else stands in.
  LargestKeeper beside;
  int third = 9;
  const auto look = [&](const Face& f) -> StatusOr<PersonEmbedding> { return Look(f.score == 3 ? third : static_cast<int>(f.score), 0.5f, 7); };
  EXPECT_EQ(*beside.Update({At(1, 0, 0)}, 0.35f, look), 0u);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(*beside.Update({At(2, 0, i)}, 0.35f, look), 0u);
  for (int i = 0; i < 12; ++i) EXPECT_EQ(*beside.Update({At(2, 0, 20 + i), At(3, 300, i)}, 0.35f, look), 0u);
  third = 1;
  size_t chosen = 0;
  for (int i = 12; i < 60; ++i) chosen = *beside.Update({At(2, 0, 20 + i), At(3, 300, i)}, 0.35f, look);
  EXPECT_EQ(chosen, 1u);
  EXPECT_TRUE(beside.own());
}

TEST(ClusterPersons, FindsThePeopleLargestFirst) {
  std::vector<PersonEmbedding> faces;
  std::vector<int> truth;
  for (int i = 0; i < 60; ++i) {
    const int person = i % 10 < 2 ? 7 : i % 10 < 5 ? 8 : 9;
    faces.push_back(Look(person, 0.9f, i));
    truth.push_back(person == 9 ? 0 : person == 8 ? 1 : 2);
  }
  EXPECT_EQ(ClusterPersons(faces), truth);
  EXPECT_TRUE(ClusterPersons({}).empty());
}

TEST(PersonKeeper, AsksRarelyWhereNobodyIsNear) {
  PersonKeeper keeper;
  const std::vector<PersonEmbedding> references = {Look(1, 0, 0)};
  for (int frame = 0; frame < 100; ++frame) {
    auto persons = keeper.Update({At(1, 0, frame), At(2, 900, frame)}, references, 0.35f, [&](const Face& f) -> StatusOr<PersonEmbedding> { return Look(int(f.score), 0.8f, frame); });
    ASSERT_TRUE(persons.ok());
    EXPECT_EQ(*persons, (std::vector<int>{0, -1})) << frame;
  }
  EXPECT_LE(keeper.embeddings(), 10 + 8 + 10);
}

// A dissolve puts another face where one was, and no step shows where: the track goes on.
TEST(PersonKeeper, ADissolveToAnotherPersonIsSeenSoon) {
  PersonKeeper keeper;
  const std::vector<PersonEmbedding> references = {Look(1, 0, 0), Look(2, 0, 0)};
  int wrong = 0;
  for (int frame = 0; frame < 60; ++frame) {
    const int there = frame < 27 ? 1 : 2;
    auto persons = keeper.Update({At(1, 0, frame)}, references, 0.35f, [&](const Face&) -> StatusOr<PersonEmbedding> { return Look(there, 0.8f, frame); });
    ASSERT_TRUE(persons.ok());
    wrong += (*persons)[0] != there - 1;
  }
  EXPECT_LE(wrong, 9);
}

// Two people cross; behind the crossing the tracks have changed faces, as it happens. Nobody ever gets the other's identity.
TEST(PersonKeeper, MixedUpTracksAreSetRight) {
  PersonKeeper keeper;
  const std::vector<PersonEmbedding> references = {Look(1, 0, 0), Look(2, 0, 0)};
  int right = 0;
  for (int frame = 0; frame < 120; ++frame) {
    const float x = static_cast<float>(600 - 10 * std::abs(60 - frame));  // comes near, goes away
    const bool changed = frame >= 60, hidden = frame >= 55 && frame < 65;
    auto persons = keeper.Update({At(1, x, frame), At(2, 620, frame, hidden)}, references, 0.35f, [&](const Face& f) -> StatusOr<PersonEmbedding> {
      const int id = static_cast<int>(f.score);
      return Look(changed ? 3 - id : id, 0.8f, 1000 * id + frame);
    });
    ASSERT_TRUE(persons.ok());
    const int truth[2] = {changed ? 1 : 0, changed ? 0 : 1};
    for (int i = 0; i < 2; ++i) {
      const bool unseen = i == 1 && hidden;
      EXPECT_TRUE(unseen || (*persons)[i] == truth[i] || (*persons)[i] == -1) << frame;
      right += (*persons)[i] == truth[i];
    }
  }
  EXPECT_GT(right, 200);
}

// A cut in a part of the picture puts another face where one was: no frame may show the wrong person on it.
TEST(PersonKeeper, AFaceThatWasFoundAgainIsLookedAtAtOnce) {
  PersonKeeper keeper;
  const std::vector<PersonEmbedding> references = {Look(1, 0, 0), Look(2, 0, 0)};
  for (int frame = 0; frame < 60; ++frame) {
    TrackedFace t = At(1, 0, frame);
    t.found_again = frame == 10 || frame == 20 || frame == 30;
    const int there = frame < 10 ? 1 : frame < 20 ? 2 : frame < 30 ? 7 : 1;
    auto persons = keeper.Update({t}, references, 0.35f, [&](const Face&) -> StatusOr<PersonEmbedding> { return Look(there, 0.8f, frame); });
    ASSERT_TRUE(persons.ok());
    EXPECT_EQ((*persons)[0], there == 7 ? -1 : there - 1) << frame;
  }
}

TEST(PersonKeeper, ATurnedHeadKeepsItsPerson) {
  PersonKeeper keeper;
  const std::vector<PersonEmbedding> references = {Look(1, 0, 0)};
  for (int frame = 0; frame < 150; ++frame) {
    const float spread = frame > 30 && frame < 100 ? 4.0f : 0.8f;  // cosine about 0.24 while the head is turned
    auto persons = keeper.Update({At(1, 0, frame)}, references, 0.35f, [&](const Face&) -> StatusOr<PersonEmbedding> { return Look(1, spread, frame); });
    ASSERT_TRUE(persons.ok());
    EXPECT_EQ((*persons)[0], 0) << frame;
  }
}

}  // namespace
}  // namespace mfs
