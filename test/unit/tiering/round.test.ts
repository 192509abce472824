import { describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/base/clock.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import {
  MEETING_BYTES_MAX,
  Round,
  type Stage,
  type Together,
  meetIn,
} from '../../../src/tiering/round.ts'

/** Notes who met, and answers each with its item. */
function noting(met: string[][]): Together<string, string> {
  return (items) => {
    met.push([...items])
    return items.map((item) => Promise.resolve(item))
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await systemClock.yield()
}

const MANY = Array.from({ length: 9 }, (_, index) => `s${index}`)

describe('the steps of a round', () => {
  test('meet once at each stage, however few run at a time, and are answered each by itself', async () => {
    const met: Record<'object' | 'directory', string[][]> = { object: [], directory: [] }
    const [together, commit] = [noting(met.object), noting(met.directory)]
    const round = new Round(new VirtualClock(), 2)
    let running = 0
    let runningMax = 0
    const work = async (): Promise<void> => {
      runningMax = Math.max(runningMax, ++running)
      await systemClock.yield()
      running--
    }
    const results = await round.all(
      MANY.map((name) => async (own) => {
        await work()
        const object = await own.meet('object', name, together)
        await work()
        return own.meet('directory', `${object}!`, commit)
      }),
    )
    expect(results).toEqual(MANY.map((name) => `${name}!`))
    expect([met.object.length, met.directory.length, runningMax]).toEqual([1, 1, 2])
    expect(met.object[0]?.toSorted()).toEqual(MANY)
  })

  test('wait at a later stage for those that come to an earlier one, and for no step that ended', async () => {
    const met: string[][] = []
    const together = noting(met)
    const round = new Round(new VirtualClock(), 4)
    const go = (stages: readonly Stage[], name: string) => async (own: Round) => {
      for (const stage of stages) await own.meet(stage, `${stage} ${name}`, together)
    }
    await round.all([
      go(['directory'], 'a'),
      go(['archive', 'directory'], 'b'),
      go(['object', 'archive', 'directory'], 'c'),
      go([], 'd'),
    ])
    expect(met.map((names) => names.toSorted())).toEqual([
      ['object c'],
      ['archive b', 'archive c'],
      ['directory a', 'directory b', 'directory c'],
    ])
  })

  test('fail alone where one is answered with an error', async () => {
    const round = new Round(new VirtualClock(), 2)
    const together: Together<number, number> = (items) =>
      items.map((item) => (item === 3 ? Promise.reject(new Error('three')) : Promise.resolve(item)))
    const results = await round.all(
      [1, 2, 3, 4].map((item) => async (own) => {
        try {
          return await own.meet('archive', item, together)
        } catch (error) {
          return (error as Error).message
        }
      }),
    )
    expect(results).toEqual([1, 2, 'three', 4])
  })

  test('wait no longer than a second for one that hangs', async () => {
    const clock = new VirtualClock()
    const round = new Round(clock, 3)
    const met: string[][] = []
    const together = noting(met)
    const hanging = Promise.withResolvers<string>()
    const ended: string[] = []
    const all = round.all([
      async (own) => ended.push(await own.meet('directory', 'a', together)),
      async (own) => ended.push(await own.meet('directory', 'b', together)),
      async () => ended.push(await hanging.promise),
    ])
    await settle()
    clock.advance(999)
    await settle()
    expect(met).toEqual([])
    clock.advance(1_001)
    await settle()
    expect([met, ended]).toEqual([[['a', 'b']], ['a', 'b']])
    hanging.resolve('late')
    await all
    expect(ended).toEqual(['a', 'b', 'late'])
  })

  test('meet early when what waits is heavy, and let no other begin while too much of it is in RAM', async () => {
    const round = new Round(new VirtualClock(), 2)
    const begun: number[] = []
    const sent: (readonly number[])[] = []
    const gates: (() => void)[] = []
    const together: Together<number, number> = (items) => {
      sent.push(items)
      const gate = Promise.withResolvers<void>()
      gates.push(gate.resolve)
      return items.map((item) => gate.promise.then(() => item))
    }
    const all = round.all(
      [0, 1, 2, 3, 4, 5].map((item) => async (own) => {
        begun.push(item)
        return own.meet('object', item, together, MEETING_BYTES_MAX / 2)
      }),
    )
    await settle()
    // Two make a meeting, of which one keeps its place; the third may begin, and then everything stands still.
    expect([begun, sent]).toEqual([[0, 1, 2], [[0, 1]]])
    for (let meeting = 0; meeting < 3; meeting++) {
      gates[meeting]?.()
      await settle()
    }
    expect(await all).toEqual([0, 1, 2, 3, 4, 5])
    expect(sent.flat()).toEqual([0, 1, 2, 3, 4, 5])
  })

  test('of which there is only one wait for nobody, nor does a move outside of a round', async () => {
    const met: string[][] = []
    const round = new Round(new VirtualClock(), 2)
    expect(await round.all([(own) => own.meet('file', 'a', noting(met))])).toEqual(['a'])
    expect(await meetIn(undefined, 'file', 'b', noting(met))).toBe('b')
    expect(met).toEqual([['a'], ['b']])
  })
})
