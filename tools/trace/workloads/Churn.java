/* SPDX-License-Identifier: MIT */
/*
 * A small server-like load for the JVM: several threads that allocate short-lived objects, a cache
 * that grows and is dropped, direct buffers, and threads that come and go. The heap grows, is
 * collected and is given back, which is what a page allocator sees of a JVM.
 */
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

public final class Churn {
    private static final int WORKERS = 4;
    private static final int ROUNDS = 12;
    private static final int REQUESTS = 20_000;

    private static final Map<String, byte[]> cache = new HashMap<>();

    private static long request(Random random, List<Object> retained) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 20; i++)
            text.append(Integer.toHexString(random.nextInt())).append(',');
        String[] parts = text.toString().split(",");
        long sum = 0;
        for (String part : parts)
            sum += Long.parseLong(part, 16);
        if (random.nextInt(16) == 0)
            retained.add(parts);
        if (random.nextInt(64) == 0) {
            synchronized (cache) {
                cache.put(parts[0], new byte[2048 + random.nextInt(8192)]);
            }
        }
        return sum;
    }

    private static void work(int seed) {
        Random random = new Random(seed);
        List<Object> retained = new ArrayList<>();
        long sum = 0;
        for (int i = 0; i < REQUESTS; i++)
            sum += request(random, retained);
        ByteBuffer direct = ByteBuffer.allocateDirect((1 + random.nextInt(8)) << 20);
        for (int i = 0; i < direct.capacity(); i += 4096)
            direct.put(i, (byte) sum);
    }

    public static void main(String[] arguments) throws InterruptedException {
        for (int round = 0; round < ROUNDS; round++) {
            List<Thread> threads = new ArrayList<>();
            for (int i = 0; i < WORKERS; i++) {
                int seed = round * WORKERS + i;
                Thread thread = new Thread(() -> work(seed));
                threads.add(thread);
                thread.start();
            }
            for (Thread thread : threads)
                thread.join();
            if (round % 2 == 1) {
                cache.clear();
                System.gc();
            }
        }
        System.out.println("done");
    }
}
