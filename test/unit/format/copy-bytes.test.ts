import { expect, test } from 'vitest'
import { copyBytes } from '../../../src/format/copy-bytes.ts'

test('bytes come where they belong, few or many, in shared memory or not, however both lie', () => {
  for (const length of [0, 1, 255, 256, 257, 5_000]) {
    for (const shift of [0, 3, 8]) {
      const source = Uint8Array.from({ length: length + 16 }, (_, index) => index * 7 + 1)
      const given = source.subarray(shift, shift + length)
      for (const target of [
        new Uint8Array(length + 40),
        new Uint8Array(new SharedArrayBuffer(length + 40)).subarray(1),
      ]) {
        copyBytes(target, 5, given)
        const after = [...target]
        expect(after.splice(5, length)).toEqual([...given])
        expect(after.every((byte) => byte === 0)).toBe(true)
      }
    }
  }
})
