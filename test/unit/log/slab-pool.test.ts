import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BudgetExceeded, CHUNK_BYTES_MAX, SlabPool } from '../../../src/log/slab-pool.ts'

const POISON = 0xdb
const KIB = 1024
const MIB = 1024 * KIB

function newPool(options: Partial<ConstructorParameters<typeof SlabPool>[0]> = {}): SlabPool {
  return new SlabPool({ freeBytesMax: 16 * MIB, poison: true, ...options })
}

describe('a slab', () => {
  test('is shared memory of a multiple of 64 bytes, and begins at one', () => {
    const pool = newPool()
    const slabs = [0, 1, 64, 65, 1_000_000].map((bytes) => pool.acquire(bytes))
    expect(slabs.map((slab) => slab.length)).toEqual([64, 64, 64, 128, 1_000_000])
    expect(slabs.every((slab) => slab.byteOffset % 64 === 0)).toBe(true)
    expect(slabs.every((slab) => slab.buffer instanceof SharedArrayBuffer)).toBe(true)
    expect(pool.usedBytes).toBe(64 * 3 + 128 + 1_000_000)
  })

  test('that was released last is handed out next', () => {
    const pool = newPool()
    const slabs = [500, 500, 500, 500].map((bytes) => pool.acquire(bytes))
    for (const index of [0, 2]) pool.release(slabs[index] ?? new Uint8Array())
    expect(pool.acquire(500).byteOffset).toBe(slabs[2]?.byteOffset)
    expect(pool.acquire(500).byteOffset).toBe(slabs[0]?.byteOffset)
  })

  test('is overwritten by a poisoned pool, as is the tail that it gives back', () => {
    const pool = newPool()
    const slab = pool.acquire(256).fill(7)
    const shorter = pool.shrink(slab, 65)
    expect([shorter.byteOffset, shorter.length, pool.usedBytes]).toEqual([
      slab.byteOffset,
      128,
      128,
    ])
    expect([...slab]).toEqual([...Array(128).fill(7), ...Array(128).fill(POISON)])
    pool.release(shorter)
    expect(slab.every((byte) => byte === POISON)).toBe(true)
  })

  test('keeps what it has when it is cut to no less, and keeps a granule when it is cut to nothing', () => {
    const pool = newPool()
    const slab = pool.acquire(200)
    expect(pool.shrink(slab, 200).length).toBe(256)
    expect(pool.shrink(slab, 5_000).length).toBe(256)
    expect(pool.shrink(slab, 0).length).toBe(64)
    expect(pool.usedBytes).toBe(64)
  })

  test('is known by any view that begins where it does', () => {
    const pool = newPool()
    const slab = pool.acquire(300)
    pool.release(new Uint8Array(slab.buffer, slab.byteOffset, 8))
    expect(pool.usedBytes).toBe(0)
  })

  test('that is released twice, or is none, is a bug of ours', () => {
    const pool = newPool()
    const [first, second] = [pool.acquire(64), pool.acquire(64)]
    pool.release(first)
    expect(() => pool.release(first)).toThrow('a slab is released once')
    expect(() => pool.release(second.subarray(32))).toThrow('a slab is released once')
    expect(() => pool.release(new Uint8Array(256))).toThrow('a slab is released once')
    expect(() => pool.shrink(first, 1)).toThrow('a slab is released once')
  })

  test('that cannot be had does not count as used', () => {
    const pool = newPool()
    expect(() => pool.acquire(2 ** 52)).toThrow(RangeError)
    expect([pool.usedBytes, pool.reservedBytes]).toEqual([0, 0])
  })
})

describe('chunks', () => {
  test('double up to 8 MiB, and a slab that is bigger gets one of its size', () => {
    const pool = newPool()
    const sizes: number[] = []
    for (let before = 0; before < 40 * MIB; before = pool.reservedBytes) {
      pool.acquire(64 * KIB)
      if (pool.reservedBytes > before) sizes.push((pool.reservedBytes - before) / KIB)
    }
    expect(sizes).toEqual([64, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 8192, 8192, 8192])
    const reserved = pool.reservedBytes
    pool.acquire(20 * MIB + 1)
    expect(pool.reservedBytes - reserved).toBe(20 * MIB + 64 * KIB)
  })

  test('without a slab are kept up to a limit and dropped beyond', () => {
    for (const [freeBytesMax, kept] of [
      [0, 0],
      [10 * MIB, 10 * MIB],
      [40 * MIB, 30 * MIB],
    ] as const) {
      const pool = newPool({ freeBytesMax, poison: false })
      const slabs = [10, 10, 10].map((count) => pool.acquire(count * MIB))
      for (const slab of slabs) pool.release(slab)
      expect([pool.usedBytes, pool.reservedBytes, pool.freeBytes]).toEqual([0, kept, kept])
    }
  })

  test('without a slab are kept beyond that where the limit has room for them', () => {
    for (const [maxBytes, idleBytesMax, kept] of [
      [40, 25, [30, 30, 20]],
      [40, 40, [30, 30, 30]],
      [25, 40, [30, 20, 20]],
      [5, 40, [30, 20, 10]],
    ] as const) {
      const sizes = { freeBytesMax: 10 * MIB, idleBytesMax: idleBytesMax * MIB }
      const pool = newPool({ ...sizes, maxBytes: maxBytes * MIB, poison: false })
      const slabs = pool.withoutLimit(() => [10, 10, 10].map((count) => pool.acquire(count * MIB)))
      const reserved = slabs.map((slab) => {
        pool.release(slab)
        return pool.reservedBytes / MIB
      })
      expect(reserved).toEqual(kept)
    }
  })

  test('are joined again from the smallest pieces', () => {
    const pool = newPool({ poison: false })
    const slabs = Array.from({ length: 10_000 }, () => pool.acquire(64))
    const reserved = pool.reservedBytes
    // Every third, then every second of the others, then the rest: neighbours on neither side, on one, on both.
    const pieces = [0, 1, 2].map((turn) => slabs.filter((_, index) => index % 3 === turn))
    for (const slab of pieces.flat()) pool.release(slab)
    expect([pool.usedBytes, pool.reservedBytes]).toEqual([0, reserved])
    for (let bytes = reserved / 2; bytes >= 64 * KIB; bytes /= 2) pool.acquire(bytes)
    expect(pool.reservedBytes).toBe(reserved)
  })

  test('of small slabs hold big ones only where there is no room for another chunk', () => {
    for (const [maxBytes, chunks] of [
      [Infinity, 2],
      [100 * KIB, 1],
    ] as const) {
      const pool = newPool({ freeBytesMax: -CHUNK_BYTES_MAX, maxBytes })
      const buffers = [100, 40_000, 200, 20_000].map((bytes) => pool.acquire(bytes).buffer)
      expect(new Set(buffers).size).toBe(chunks)
    }
  })
})

describe('the limit', () => {
  test('is passed by no acquire, and by nothing that is adopted', () => {
    const pool = newPool({ maxBytes: 1_000 })
    const slab = pool.acquire(640)
    pool.adopt(360)
    expect(() => pool.acquire(1)).toThrow(BudgetExceeded)
    expect(() => pool.adopt(1)).toThrow(new BudgetExceeded(1))
    expect(pool.usedBytes).toBe(1_000)
    pool.disown(360)
    expect(pool.acquire(300).length).toBe(320)
    pool.release(slab)
    expect(() => pool.disown(1)).toThrow('what is disowned was adopted')
  })

  test('is passed by what makes room, and only while that runs', () => {
    const pool = newPool({ maxBytes: 64 })
    const slab = pool.withoutLimit(() => {
      pool.withoutLimit(() => {})
      return pool.acquire(30 * MIB)
    })
    expect(pool.usedBytes).toBe(slab.length)
    expect(() => pool.acquire(1)).toThrow(BudgetExceeded)
    expect(() =>
      pool.withoutLimit(() => {
        throw new Error('ended')
      }),
    ).toThrow('ended')
    expect(() => pool.acquire(1)).toThrow(BudgetExceeded)
  })

  test('may be set later; a lower one takes nothing from those who have it', () => {
    const pool = newPool({ freeBytesMax: 40 * MIB })
    const slab = pool.acquire(20 * MIB)
    for (const idle of [pool.acquire(20 * MIB), pool.acquire(20 * MIB)]) pool.release(idle)
    expect(pool.reservedBytes).toBe(60 * MIB)
    pool.limit = MIB
    expect([pool.limit, pool.usedBytes, pool.reservedBytes]).toEqual([MIB, 20 * MIB, 40 * MIB])
    expect(() => pool.acquire(1)).toThrow(BudgetExceeded)
    pool.release(slab)
    expect(pool.acquire(MIB).length).toBe(MIB)
  })

  test('has chunks without a slab make room for what fits none of them', () => {
    const pool = newPool({ maxBytes: 24 * MIB, freeBytesMax: 24 * MIB, poison: false })
    const bound = 48 * MIB + CHUNK_BYTES_MAX
    const slabs = pool.withoutLimit(() => Array.from({ length: 24 }, () => pool.acquire(2 * MIB)))
    slabs.forEach((slab, index) => {
      if (index % 4 !== 0 || index >= 16) pool.release(slab)
    })
    expect([pool.usedBytes, pool.reservedBytes]).toEqual([8 * MIB, 48 * MIB])
    pool.adopt(16 * MIB)
    expect(pool.reservedBytes + 16 * MIB).toBeLessThanOrEqual(bound)
    pool.disown(16 * MIB)
    pool.acquire(16 * MIB)
    expect(pool.reservedBytes).toBeLessThanOrEqual(bound)
  })

  test('bounds the chunks too: one is dropped for another, and holes that hold nothing more are refused', () => {
    const pool = newPool({ maxBytes: 24 * MIB, freeBytesMax: 0, poison: false })
    const bound = 24 * MIB + CHUNK_BYTES_MAX
    const slabs = Array.from({ length: 24 * 16 }, () => pool.acquire(64 * KIB))
    // Every other slab goes: half is free, and no hole has more than 64 KiB.
    for (let index = 0; index < slabs.length; index += 2) {
      pool.release(slabs[index] ?? new Uint8Array())
    }
    let taken = 0
    expect(() => {
      for (;;) taken += pool.acquire(MIB).length
    }).toThrow(BudgetExceeded)
    expect(pool.reservedBytes).toBeLessThanOrEqual(bound)
    expect(taken).toBeGreaterThanOrEqual(4 * MIB)
    expect(pool.usedBytes).toBeLessThan(24 * MIB)
    // Once the rest is gone, all of it is to be had again.
    for (let index = 1; index < slabs.length; index += 2) {
      pool.release(slabs[index] ?? new Uint8Array())
    }
    const rest = 24 * MIB - pool.usedBytes
    expect(pool.acquire(rest).length).toBe(rest)
    expect(pool.reservedBytes).toBeLessThanOrEqual(bound)
  })
})

/** One slab of the model: what the pool handed out, and the byte that its holder wrote into all of it. */
interface Held {
  readonly slab: Uint8Array
  readonly mark: number
}

type Step =
  | { readonly kind: 'acquire'; readonly bytes: number }
  | { readonly kind: 'release'; readonly at: number }
  | { readonly kind: 'shrink'; readonly at: number; readonly part: number }

function stepsOf(bytes: fc.Arbitrary<number>, maxLength: number): fc.Arbitrary<Step[]> {
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant('acquire' as const), bytes }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('release' as const), at: fc.nat() }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('shrink' as const),
        at: fc.nat(),
        part: fc.nat(100),
      }),
    },
  )
  return fc.array(step, { minLength: maxLength / 2, maxLength, size: 'max' })
}

const ANY_BYTES = fc.oneof(
  fc.nat(300),
  fc.nat(20_000),
  fc.integer({ min: 60_000, max: 300_000 }),
  fc.integer({ min: MIB, max: 9 * MIB }),
)

const LIMIT = 12 * MIB
const FREE_MAX = 2 * MIB

/** Runs one step on pool and model. */
function run(pool: SlabPool, held: Held[], given: Step, mark: number): void {
  if (given.kind === 'acquire') {
    try {
      held.push({ slab: pool.acquire(given.bytes).fill(mark), mark })
    } catch (error) {
      expect(error).toBeInstanceOf(BudgetExceeded)
      const wasOver = pool.usedBytes + given.bytes > LIMIT
      expect(wasOver || pool.reservedBytes + given.bytes > LIMIT + FREE_MAX).toBe(true)
    }
    return
  }
  const index = held.length === 0 ? -1 : given.at % held.length
  const chosen = held[index]
  if (chosen === undefined) return
  if (given.kind === 'release') {
    held.splice(index, 1)
    pool.release(chosen.slab)
    expect([chosen.slab[0], chosen.slab.at(-1)]).toEqual([POISON, POISON])
    return
  }
  const slab = pool.shrink(chosen.slab, Math.floor((chosen.slab.length * given.part) / 100))
  held[index] = { slab, mark: chosen.mark }
  if (slab.length < chosen.slab.length) expect(chosen.slab[slab.length]).toBe(POISON)
}

function isIntact({ slab, mark }: Held): boolean {
  // Both ends, and a byte a granule between them.
  for (let at = 0; at < slab.length; at += 64) if (slab[at] !== mark) return false
  return slab.at(-1) === mark
}

function check(steps: readonly Step[]): void {
  const pool = newPool({ maxBytes: LIMIT, freeBytesMax: FREE_MAX })
  const held: Held[] = []
  steps.forEach((given, index) => {
    run(pool, held, given, index % 200)
    expect(pool.usedBytes).toBe(held.reduce((sum, { slab }) => sum + slab.length, 0))
    expect(pool.usedBytes).toBeLessThanOrEqual(LIMIT)
    expect(pool.reservedBytes).toBeLessThanOrEqual(LIMIT + FREE_MAX + CHUNK_BYTES_MAX)
  })
  expect(held.every(isIntact)).toBe(true)
  for (const { slab } of held) pool.release(slab)
  expect([pool.usedBytes, pool.freeBytes]).toEqual([0, pool.reservedBytes])
  expect(pool.reservedBytes).toBeLessThanOrEqual(FREE_MAX)
}

describe('slabs never overlap, are counted exactly, stay within the bound, and join to nothing', () => {
  test('of any size', () => {
    fc.assert(fc.property(stepsOf(ANY_BYTES, 120), check), { numRuns: 12 })
  })

  test('among many of about the same size', () => {
    fc.assert(fc.property(stepsOf(fc.nat(700), 400), check), { numRuns: 40 })
  })
})

/** A batch of six columns that came to be by doubling. */
function growBatch(pool: SlabPool, bytes: number): Uint8Array[] {
  return [0.08, 0.03, 0.07, 0.04, 0.06, 0.72].map((part) => {
    const wanted = bytes * part
    let slab = pool.acquire(64)
    while (slab.length < wanted) {
      const bigger = pool.acquire(slab.length * 2)
      pool.release(slab)
      slab = bigger
    }
    return pool.shrink(slab, wanted)
  })
}

test('a hundred thousand tiny batches make room for big ones, and the holes stay few', () => {
  const pool = newPool({ poison: false, freeBytesMax: 8 * MIB })
  const batches: Uint8Array[][] = []
  for (let count = 0; count < 100_000; count++) {
    batches.push(growBatch(pool, 100 + ((count * 7_919) % 900)))
  }
  const isDense = (): boolean =>
    pool.reservedBytes <= pool.usedBytes * 1.25 + 8 * MIB + CHUNK_BYTES_MAX
  expect(isDense()).toBe(true)
  let next = 0
  for (let count = 0; count < 200; count++) {
    batches.push(growBatch(pool, MIB))
    for (let bytes = 0; bytes < MIB; next++) {
      for (const slab of batches[next] ?? []) {
        bytes += slab.length
        pool.release(slab)
      }
    }
    expect(isDense()).toBe(true)
  }
})
