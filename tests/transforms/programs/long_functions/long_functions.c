/* A function of more than 5,000 statements, and others that are nested or chained deep. */
#include <stdio.h>
static int n; static int id(int x) { n++; return x; }
#define A1(k) s += k; if (s & 1) s ^= k; { int t = s + k; s = t % 1000; }
#define A10(k) A1(k) A1(k + 1) A1(k + 2) A1(k + 3) A1(k + 4) A1(k + 5) A1(k + 6) A1(k + 7) A1(k + 8) s += id(k);
#define A100(k) A10(k) A10(k + 10) A10(k + 20) A10(k + 30) A10(k + 40) A10(k + 50) A10(k + 60) A10(k + 70) A10(k + 80) A10(k + 90)
static int wide(int s) { A100(1) A100(2) A100(3) A100(4) A100(5) A100(6) A100(7) A100(8) A100(9) A100(10) return s; }
#define IN(k) if (id(s) >= 0) { int k = id(s) % 7; while (k-- > 3) { s += k;
#define OUT } }
static int deep(int s) {
  IN(a0) IN(a1) IN(a2) IN(a3) IN(a4) IN(a5) IN(a6) IN(a7) IN(a8) IN(a9) IN(a10) IN(a11) IN(a12) IN(a13) IN(a14) IN(a15) IN(a16) IN(a17) IN(a18) IN(a19) IN(a20) IN(a21) IN(a22) IN(a23) IN(a24) IN(a25) IN(a26) IN(a27) IN(a28) IN(a29) s += id(1);
  OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT OUT 
  return s;
}
static int chain(int k) {
  if (id(k) == 0) return id(0);
  else if (id(k) == 1) return id(3);
  else if (id(k) == 2) return id(6);
  else if (id(k) == 3) return id(9);
  else if (id(k) == 4) return id(12);
  else if (id(k) == 5) return id(15);
  else if (id(k) == 6) return id(18);
  else if (id(k) == 7) return id(21);
  else if (id(k) == 8) return id(24);
  else if (id(k) == 9) return id(27);
  else if (id(k) == 10) return id(30);
  else if (id(k) == 11) return id(33);
  else if (id(k) == 12) return id(36);
  else if (id(k) == 13) return id(39);
  else if (id(k) == 14) return id(42);
  else if (id(k) == 15) return id(45);
  else if (id(k) == 16) return id(48);
  else if (id(k) == 17) return id(51);
  else if (id(k) == 18) return id(54);
  else if (id(k) == 19) return id(57);
  else if (id(k) == 20) return id(60);
  else if (id(k) == 21) return id(63);
  else if (id(k) == 22) return id(66);
  else if (id(k) == 23) return id(69);
  else if (id(k) == 24) return id(72);
  else if (id(k) == 25) return id(75);
  else if (id(k) == 26) return id(78);
  else if (id(k) == 27) return id(81);
  else if (id(k) == 28) return id(84);
  else if (id(k) == 29) return id(87);
  else if (id(k) == 30) return id(90);
  else if (id(k) == 31) return id(93);
  else if (id(k) == 32) return id(96);
  else if (id(k) == 33) return id(99);
  else if (id(k) == 34) return id(102);
  else if (id(k) == 35) return id(105);
  else if (id(k) == 36) return id(108);
  else if (id(k) == 37) return id(111);
  else if (id(k) == 38) return id(114);
  else if (id(k) == 39) return id(117);
  else if (id(k) == 40) return id(120);
  else if (id(k) == 41) return id(123);
  else if (id(k) == 42) return id(126);
  else if (id(k) == 43) return id(129);
  else if (id(k) == 44) return id(132);
  else if (id(k) == 45) return id(135);
  else if (id(k) == 46) return id(138);
  else if (id(k) == 47) return id(141);
  else if (id(k) == 48) return id(144);
  else if (id(k) == 49) return id(147);
  else if (id(k) == 50) return id(150);
  else if (id(k) == 51) return id(153);
  else if (id(k) == 52) return id(156);
  else if (id(k) == 53) return id(159);
  else if (id(k) == 54) return id(162);
  else if (id(k) == 55) return id(165);
  else if (id(k) == 56) return id(168);
  else if (id(k) == 57) return id(171);
  else if (id(k) == 58) return id(174);
  else if (id(k) == 59) return id(177);
  return -1;
}
static int expression(int x) { return ((((((((((((((((((((((((((((((((((((((((id(x) + 0) * (id(0) & 3) + 1) + 2) + 3) + 4) + 5) * (id(5) & 3) + 6) + 7) + 8) + 9) + 10) * (id(10) & 3) + 11) + 12) + 13) + 14) + 15) * (id(15) & 3) + 16) + 17) + 18) + 19) + 20) * (id(20) & 3) + 21) + 22) + 23) + 24) + 25) * (id(25) & 3) + 26) + 27) + 28) + 29) + 30) * (id(30) & 3) + 31) + 32) + 33) + 34) + 35) * (id(35) & 3) + 36) + 37) + 38) + 39); }
int main(void) { printf("%d %d %d %d", wide(3), deep(6), chain(50), expression(2)); printf(" %d\n", n); return 0; }
