#include <vector>
using namespace std;

namespace work {

/// A queue of jobs.
template <typename T>
class Queue : public Base<T>, private Lock {
 public:
  explicit Queue(int size);
  ~Queue();
  bool empty() const { return items_.empty(); }
  T& operator[](int at);

 private:
  std::vector<T> items_;
};

template <typename T>
Queue<T>::Queue(int size) {
  items_.reserve(size);
  helper::log("made");
}

}  // namespace work

int main() {
  auto *q = new work::Queue<int>(3);
  return q->empty();
}
