import { expect, test } from 'vitest'
import { VirtualClock } from '../../../src/base/virtual-clock.ts'
import { leaseGuard } from '../../../src/engine/lease-guard.ts'

function guarded(): { clock: VirtualClock; lose: () => void; ask: () => void; told: string[] } {
  const clock = new VirtualClock()
  let isHeld = true
  const told: string[] = []
  const lock = {
    path: '/data/lock',
    text: '',
    kind: 'kernel' as const,
    isHeld: () => isHeld,
    release: async () => {},
  }
  const ask = leaseGuard(lock, clock, ({ code }) => told.push(code))
  return { clock, lose: () => (isHeld = false), ask, told }
}

test('who goes on after a pause looks at once, and acknowledges nothing more when superseded', () => {
  const { clock, lose, ask, told } = guarded()
  ask()
  lose()
  clock.advance(11)
  expect(ask).toThrow('Another process has taken')
  expect(ask).toThrow('Another process has taken')
  expect(told).toEqual(['writer_fenced'])
})

test('who never pauses looks once a second', () => {
  const { clock, lose, ask } = guarded()
  lose()
  for (let ms = 10; ms < 1_000; ms += 10) {
    clock.advance(10)
    ask()
  }
  clock.advance(10)
  expect(ask).toThrow('Another process has taken')
})
