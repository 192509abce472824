import { expect, test } from 'vitest'
import { StratalogError } from '../../../src/base/errors.ts'
import { type AckListener, AckQueue } from '../../../src/log/ack-queue.ts'

/** Notes every step in order. */
function recorder(): {
  steps: string[]
  listener: (name: string, visibleEnd?: number) => AckListener
} {
  const steps: string[] = []
  return {
    steps,
    listener: (name, visibleEnd = 0) => ({
      visibleEnd,
      durableTo: (end) => steps.push(`${name} to ${end}`),
      takeBack: (end, lsn) => steps.push(`${name} back to ${end} at ${lsn}`),
    }),
  }
}

function refusal(fate: string): StratalogError {
  return new StratalogError('disk_full', fate)
}

test('appends settle in the order of the WAL, each once, when its last byte is durable', async () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  const first = acks.wait(100, listener('a'), 1, {})
  const second = acks.wait(200, listener('b'), 5, {})
  expect(acks.length).toBe(2)
  acks.settle(99)
  expect(steps).toEqual([])
  acks.settle(150)
  expect(steps).toEqual(['a to 1'])
  await first
  acks.settle(150)
  acks.settle(1_000)
  await second
  expect(steps).toEqual(['a to 1', 'b to 5'])
  expect(acks.length).toBe(0)
})

test('an append that nobody waits for moves the watermark all the same', () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  acks.note(10, listener('a'), 3)
  acks.settle(10)
  expect(steps).toEqual(['a to 3'])
})

test('what was not written is refused as not applied, and taken back', async () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  const [a, b] = [listener('a'), listener('b')]
  const settled = acks.wait(10, a, 1, {})
  const waiting = [acks.wait(20, a, 2, {}), acks.wait(30, b, 7, {}), acks.wait(40, a, 3, {})]
  acks.settle(10)
  await settled
  const refused = waiting.map((append) => expect(append).rejects.toThrow('not_applied'))
  expect(acks.withdraw(10, true, refusal)).toEqual([])
  await Promise.all(refused)
  expect(steps).toEqual(['a to 1', 'a back to 0 at 10', 'b back to 0 at 10'])
  expect(acks.length).toBe(0)
  acks.note(20, a, 2)
  acks.settle(20)
  expect(steps.at(-1)).toBe('a to 2')
})

test('what was acknowledged in memory, or was seen, stays with what lies before it, whose fate is unknown', async () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  const [a, seen] = [listener('a'), listener('seen', 9)]
  const before = acks.wait(10, a, 1, {})
  acks.note(20, a, 2)
  const after = acks.wait(30, a, 3, {})
  const visible = acks.wait(40, seen, 9, {})
  const refused = [
    expect(before).rejects.toThrow('unknown'),
    expect(after).rejects.toThrow('not_applied'),
    expect(visible).rejects.toThrow('unknown'),
  ]
  expect(acks.withdraw(0, true, refusal)).toEqual([
    { listener: a, endOffset: 1 },
    { listener: a, endOffset: 2 },
    { listener: seen, endOffset: 9 },
  ])
  await Promise.all(refused)
  expect(steps).toEqual(['a back to 2 at 0', 'seen back to 9 at 0'])
})

test('nothing is certain where the files may hold what was not acknowledged', async () => {
  const { listener } = recorder()
  const acks = new AckQueue()
  const waiting = acks.wait(10, listener('a'), 1, {})
  const refused = expect(waiting).rejects.toThrow('unknown')
  acks.withdraw(0, false, refusal)
  await refused
})

test('what became durable while its writer was given up stays, and is not acknowledged', async () => {
  const { steps, listener } = recorder()
  const acks = new AckQueue()
  const durable = acks.wait(10, listener('a'), 1, {})
  const gone = acks.wait(20, listener('b'), 4, {})
  const refused = [
    expect(durable).rejects.toThrow('unknown'),
    expect(gone).rejects.toThrow('unknown'),
  ]
  expect(acks.withdraw(10, false, refusal)).toEqual([])
  await Promise.all(refused)
  expect(steps).toEqual(['a to 1', 'b back to 0 at 10'])
})

test('a long queue settles in pieces without losing or repeating one', () => {
  const acks = new AckQueue()
  const ends: number[] = []
  const listener: AckListener = {
    visibleEnd: 0,
    durableTo: (end) => ends.push(end),
    takeBack: () => {},
  }
  for (let index = 1; index <= 5_000; index++) acks.note(index, listener, index)
  for (let lsn = 0; lsn <= 5_000; lsn += 700) acks.settle(lsn)
  acks.settle(5_000)
  expect(ends).toEqual(Array.from({ length: 5_000 }, (_, index) => index + 1))
})
