import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.ts'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { FenceWatch } from '../../../src/engine/fence-watch.ts'

class Archive {
  readonly clock: VirtualClock = new VirtualClock()
  readonly looks: number[] = []
  provenAt: number | null = null
  isAway = false

  async prove(): Promise<void> {
    this.looks.push(this.clock.monotonic())
    if (this.isAway) throw new Error('the store is away')
    this.provenAt = this.clock.monotonic()
  }

  watch(): FenceWatch {
    const watch = new FenceWatch(this, this.clock, silentLogger, 1_000)
    watch.start()
    return watch
  }

  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 100) {
      this.clock.advance(100)
      await Promise.resolve()
    }
  }
}

test('an archive is asked an interval after it last said who its writer is, and again after one that failed', async () => {
  const archive = new Archive()
  archive.provenAt = 0
  archive.watch()
  await archive.pass(900)
  expect(archive.looks).toEqual([])
  await archive.pass(1_200)
  expect(archive.looks).toEqual([1_000, 2_000])
  archive.isAway = true
  await archive.pass(2_000)
  expect(archive.looks).toEqual([1_000, 2_000, 3_000, 4_000])
})

test('a commit puts the next look off', async () => {
  const archive = new Archive()
  archive.provenAt = 0
  archive.watch()
  for (let commit = 1; commit <= 4; commit++) {
    await archive.pass(600)
    archive.provenAt = archive.clock.monotonic()
  }
  expect(archive.looks).toEqual([])
  await archive.pass(1_000)
  expect(archive.looks).toEqual([3_400])
})

test('an archive that was not reached yet is not asked, nor one whose engine is closed', async () => {
  const archive = new Archive()
  const watch = archive.watch()
  await archive.pass(3_000)
  expect(archive.looks).toEqual([])
  archive.provenAt = archive.clock.monotonic()
  await archive.pass(1_000)
  expect(archive.looks).toEqual([4_000])
  await watch.close()
  await archive.pass(3_000)
  expect(archive.looks).toEqual([4_000])
})
