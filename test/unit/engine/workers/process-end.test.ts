import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { VirtualClock } from '../../../../src/base/virtual-clock.ts'
import { onProcessEnd } from '../../../../src/engine/workers/process-end.ts'

function watchedChild(): { child: EventEmitter; clock: VirtualClock; heard: unknown[] } {
  const child = new EventEmitter()
  const clock = new VirtualClock()
  const heard: unknown[] = []
  child.on('message', (message) => heard.push(message))
  onProcessEnd(child, clock, (status, signal) => heard.push([status, signal]))
  return { child, clock, heard }
}

test('what a process said last is heard before its end, also where it is read after its exit', () => {
  const { child, clock, heard } = watchedChild()
  child.emit('exit', null, 'SIGKILL')
  child.emit('message', 'why')
  child.emit('close', null, 'SIGKILL')
  clock.advance(60_000)
  expect(heard).toEqual(['why', [null, 'SIGKILL']])
})

test('the end of a process whose pipe something else holds open comes all the same', () => {
  const { child, clock, heard } = watchedChild()
  child.emit('exit', 3, null)
  expect(heard).toEqual([])
  clock.advance(60_000)
  child.emit('close', 3, null)
  expect(heard).toEqual([[3, null]])
})

test('a process that could not be started has ended', () => {
  const { child, heard } = watchedChild()
  child.emit('error', new Error('no such file'))
  child.emit('close', -2, null)
  expect(heard).toEqual([[null, 'no such file']])
})
