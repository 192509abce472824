/**
 * The engine loads parts of itself when they are first used, which takes real time, and that is none of a simulated
 * world. So everything that a run may use is used once before the first run of a process.
 */
import { once } from '../../src/base/once.ts'
import { Stratalog, restoreArchive } from '../../src/index.ts'
import { Dice } from './dice.ts'
import { NO_FAULTS } from './faults.ts'
import { DATA_DIR, NOT_WATCHED, simulatedPorts } from './ports.ts'
import { World } from './world.ts'

const SHAPE = {
  ringBytes: 4_096,
  sizes: { fileBytesMin: 4_096, fileBytesMax: 4_096, zeroAheadBytes: 0 },
}

export const warmUp: () => Promise<void> = once(async () => {
  for (const archive of ['s3://bucket/archive', 'file:///archive']) {
    const world = new World(new Dice(1), NO_FAULTS, (error) => {
      throw error
    })
    // Something always happens, so that the world does not end while a file is loaded.
    const tick = (): void => {
      world.scheduler.after(1, tick)
    }
    tick()
    await world.scheduler.runUntil(useEverything(world, archive))
  }
})

async function useEverything(world: World, archive: string): Promise<void> {
  const options = { dataDir: DATA_DIR, archive, maxMemoryBytes: '64MB' } as const
  const ports = () => simulatedPorts(world, world.startProcess(null), SHAPE, NOT_WATCHED)
  const db = await Stratalog.open(options, ports())
  const log = await db.createLog('log', { storage: { mode: 'hybrid', memoryTtl: 1 } })
  await log.append([{ id: 1 }, { id: 2 }])
  await db.snapshot({ name: 'first' })
  await db.createLog('deleted')
  await db.deleteLog('deleted')
  // RAM and disk let go, so that what is read lies in the archive.
  world.jumpWallClock(7 * 24 * 3_600_000)
  await db.tier.run()
  await log.read().toArray()
  const reader = await Stratalog.openReadOnly(options, ports())
  await reader.log('log').read().toArray()
  await reader.close()
  const scratch = await Stratalog.memoryOnly({ maxMemoryBytes: '64MB' }, ports())
  await scratch.replayFromArchive(archive)
  await scratch.close()
  await restoreArchive({ archive, dataDir: '/restored', eager: true }, ports())
  await db.close()
}
