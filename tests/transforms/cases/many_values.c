/* More live values than one statement of a point takes: it goes on in a second and a third. */
#include <stdio.h>

static int turns;

static void turn(int n) {
  for (int i = 0; i < n; i++) turns++;
}

__attribute__((const, noinline)) static unsigned mix(unsigned x) { return (x ^ x >> 7) * 2654435761u; }

static unsigned many(unsigned seed) {
  unsigned v0 = mix(seed + 0);
  unsigned v1 = mix(seed + 1);
  unsigned v2 = mix(seed + 2);
  unsigned v3 = mix(seed + 3);
  unsigned v4 = mix(seed + 4);
  unsigned v5 = mix(seed + 5);
  unsigned v6 = mix(seed + 6);
  unsigned v7 = mix(seed + 7);
  unsigned v8 = mix(seed + 8);
  unsigned v9 = mix(seed + 9);
  unsigned v10 = mix(seed + 10);
  unsigned v11 = mix(seed + 11);
  unsigned v12 = mix(seed + 12);
  unsigned v13 = mix(seed + 13);
  unsigned v14 = mix(seed + 14);
  unsigned v15 = mix(seed + 15);
  unsigned v16 = mix(seed + 16);
  unsigned v17 = mix(seed + 17);
  unsigned v18 = mix(seed + 18);
  unsigned v19 = mix(seed + 19);
  unsigned v20 = mix(seed + 20);
  unsigned v21 = mix(seed + 21);
  unsigned v22 = mix(seed + 22);
  unsigned v23 = mix(seed + 23);
  unsigned v24 = mix(seed + 24);
  unsigned v25 = mix(seed + 25);
  unsigned v26 = mix(seed + 26);
  unsigned v27 = mix(seed + 27);
  unsigned v28 = mix(seed + 28);
  unsigned v29 = mix(seed + 29);
  unsigned v30 = mix(seed + 30);
  unsigned v31 = mix(seed + 31);
  unsigned v32 = mix(seed + 32);
  unsigned v33 = mix(seed + 33);
  unsigned v34 = mix(seed + 34);
  unsigned v35 = mix(seed + 35);
  unsigned v36 = mix(seed + 36);
  unsigned v37 = mix(seed + 37);
  unsigned v38 = mix(seed + 38);
  unsigned v39 = mix(seed + 39);
  unsigned v40 = mix(seed + 40);
  unsigned v41 = mix(seed + 41);
  unsigned v42 = mix(seed + 42);
  unsigned v43 = mix(seed + 43);
  unsigned v44 = mix(seed + 44);
  unsigned v45 = mix(seed + 45);
  unsigned v46 = mix(seed + 46);
  unsigned v47 = mix(seed + 47);
  unsigned v48 = mix(seed + 48);
  unsigned v49 = mix(seed + 49);
  unsigned v50 = mix(seed + 50);
  unsigned v51 = mix(seed + 51);
  unsigned v52 = mix(seed + 52);
  unsigned v53 = mix(seed + 53);
  unsigned v54 = mix(seed + 54);
  unsigned v55 = mix(seed + 55);
  unsigned v56 = mix(seed + 56);
  unsigned v57 = mix(seed + 57);
  unsigned v58 = mix(seed + 58);
  unsigned v59 = mix(seed + 59);
  turn(2);
  return v0 * 1u ^ v1 * 3u ^ v2 * 5u ^ v3 * 7u ^ v4 * 9u ^ v5 * 11u ^ v6 * 13u ^ v7 * 15u ^ v8 * 17u ^ v9 * 19u ^ v10 *
    21u ^ v11 * 23u ^ v12 * 25u ^ v13 * 27u ^ v14 * 29u ^ v15 * 31u ^ v16 * 33u ^ v17 * 35u ^ v18 * 37u ^ v19 *
    39u ^ v20 * 41u ^ v21 * 43u ^ v22 * 45u ^ v23 * 47u ^ v24 * 49u ^ v25 * 51u ^ v26 * 53u ^ v27 * 55u ^ v28 *
    57u ^ v29 * 59u ^ v30 * 61u ^ v31 * 63u ^ v32 * 65u ^ v33 * 67u ^ v34 * 69u ^ v35 * 71u ^ v36 * 73u ^ v37 *
    75u ^ v38 * 77u ^ v39 * 79u ^ v40 * 81u ^ v41 * 83u ^ v42 * 85u ^ v43 * 87u ^ v44 * 89u ^ v45 * 91u ^ v46 *
    93u ^ v47 * 95u ^ v48 * 97u ^ v49 * 99u ^ v50 * 101u ^ v51 * 103u ^ v52 * 105u ^ v53 * 107u ^ v54 * 109u ^ v55
    * 111u ^ v56 * 113u ^ v57 * 115u ^ v58 * 117u ^ v59 * 119u;
}

int main(void) {
  for (unsigned i = 0; i < 4; i++) printf("%u\n", many(i));
  printf("%d\n", turns);
  return 0;
}
