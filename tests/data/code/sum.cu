// Adds one element.
__global__ void add(float *a, const float *b, int n) {
  int i = threadIdx.x;
  if (i < n) a[i] += b[i];
}

void launch(float *a, float *b, int n) { add<<<1, n>>>(a, b, n); }
