// The noise that PyTorch would draw: `torch.randn(n, generator=torch.Generator().manual_seed(seed))` on a processor, so that a try that
// begins from noise begins here where it begins there.

// The Mersenne twister (MT19937): 32 random bits a call.
export function twister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    const before = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, before) + i;
  }
  let place = 624;
  return () => {
    if (place === 624) {
      for (let i = 0; i < 624; i++) {
        const both = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
        state[i] = state[(i + 397) % 624] ^ (both >>> 1) ^ (both & 1 ? 0x9908b0df : 0);
      }
      place = 0;
    }
    let y = state[place++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

// Numbers from 0 to 1, one a call, as `torch.rand` draws them from a generator with this seed.
export function uniform(seed, skip = 0) {
  const bits = twister(seed);
  for (let i = 0; i < skip; i++) bits();
  return () => (bits() & 0xffffff) / 0x1000000;
}

// `count` numbers, at least 16: uniform ones, turned into normal ones in blocks of 16 (Box and Muller). `skip`: draws taken before.
export function noise(seed, count, skip = 0) {
  const draw = uniform(seed, skip);
  const made = new Float32Array(count);
  for (let i = 0; i < count; i++) made[i] = draw();
  const normal = (first) => {
    for (let i = first; i < first + 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - made[i]));
      const angle = 2 * Math.PI * made[i + 8];
      made[i] = radius * Math.cos(angle);
      made[i + 8] = radius * Math.sin(angle);
    }
  };
  for (let first = 0; first + 16 <= count; first += 16) normal(first);
  if (count % 16) {
    for (let i = count - 16; i < count; i++) made[i] = draw();
    normal(count - 16);
  }
  return made;
}
