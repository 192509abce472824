import fc from 'fast-check'
import { expect, test } from 'vitest'
import { KeyTable, NO_OFFSET } from '../../../src/log/key-table.ts'

/** A key somewhere in bytes that are not its own. */
function placed(key: string): readonly [Uint8Array, number, number] {
  const bytes = Buffer.from(`before${key}behind`)
  return [bytes, 6, bytes.length - 6]
}

const KEY = fc.oneof(fc.constantFrom('', 'a', 'aa', '\u0000', 'ä'), fc.nat(120).map(String))
const STEP = fc.record({ key: KEY, isSet: fc.boolean() })

test('a table of keys is what a Map is', () => {
  fc.assert(
    fc.property(fc.array(STEP, { maxLength: 400 }), fc.nat(400), (steps, forgotten) => {
      const table = new KeyTable()
      const model = new Map<string, number>()
      const expectSame = (): void => {
        expect(table.count).toBe(model.size)
        for (const { key } of steps)
          expect(table.get(...placed(key))).toBe(model.get(key) ?? NO_OFFSET)
      }
      for (const [offset, { key, isSet }] of steps.entries()) {
        const before = table.set(...placed(key), isSet ? offset : NO_OFFSET)
        expect(before).toBe(model.get(key) ?? NO_OFFSET)
        if (isSet) model.set(key, offset)
        else model.delete(key)
      }
      expectSame()
      table.forget(forgotten)
      for (const [key, offset] of model) if (offset < forgotten) model.delete(key)
      expect(table.entryCount).toBe(model.size)
      expectSame()
      table.set(...placed('one more'), 1_000)
      expect(table.get(...placed('one more'))).toBe(1_000)
    }),
  )
})

test('a hundred thousand keys take what their bytes and a few numbers take', () => {
  const table = new KeyTable()
  for (let key = 0; key < 100_000; key++) table.set(...placed(`user ${key}`), key)
  expect(table.count).toBe(100_000)
  expect(table.get(...placed('user 77777'))).toBe(77_777)
  expect(table.bytes).toBeLessThan(100_000 * 65)
})
