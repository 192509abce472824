import { expect, test } from 'vitest'
import { Mutex } from '../../../src/base/mutex.ts'

test('sections run one at a time, in the order they asked', async () => {
  const mutex = new Mutex()
  const steps: string[] = []
  const section = (name: string) => async (): Promise<string> => {
    steps.push(`${name} begins`)
    await Promise.resolve()
    steps.push(`${name} ends`)
    return name
  }
  const results = await Promise.all(['a', 'b', 'c'].map((name) => mutex.run(section(name))))
  expect(results).toEqual(['a', 'b', 'c'])
  expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
})

test('a section that fails tells its caller and does not block the next', async () => {
  const mutex = new Mutex()
  const failed = mutex.run(() => Promise.reject(new Error('no')))
  const thrown = mutex.run(() => {
    throw new Error('at once')
  })
  const next = mutex.run(() => Promise.resolve('yes'))
  await expect(failed).rejects.toThrow('no')
  await expect(thrown).rejects.toThrow('at once')
  expect(await next).toBe('yes')
})

test('a section that asks from inside another waits for it', async () => {
  const mutex = new Mutex()
  const steps: string[] = []
  const inner: Promise<void>[] = []
  await mutex.run(async () => {
    const later = mutex.run(async () => {
      steps.push('inner')
    })
    inner.push(later)
    steps.push('outer')
  })
  await Promise.all(inner)
  expect(steps).toEqual(['outer', 'inner'])
})
