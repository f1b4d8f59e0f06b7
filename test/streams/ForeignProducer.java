/*
 * Writes to Kafka as somebody else's program does: `ForeignProducer BROKER`, with one command a line on its standard input.
 *
 *   open NAME CODEC BATCH_BYTES [TRANSACTIONAL_ID]
 *   send NAME TOPIC PARTITION KEY VALUE [HEADER=VALUE ...]    all but the header's name in base64, "-" for none, "*5" for five zeros
 *   begin NAME | flush NAME | commit NAME | abort NAME
 *   halt                                                       ends at once, whatever is open
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class ForeignProducer {
  private static final Map<String, KafkaProducer<byte[], byte[]>> producers = new HashMap<>();

  public static void main(String[] args) throws Exception {
    BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      String[] words = line.split(" ", -1);
      KafkaProducer<byte[], byte[]> producer = words.length > 1 ? producers.get(words[1]) : null;
      switch (words[0]) {
        case "open" -> producers.put(words[1], open(args[0], words));
        case "send" -> producer.send(record(words), (sent, error) -> fail(error));
        case "begin" -> producer.beginTransaction();
        case "flush" -> producer.flush();
        case "commit" -> producer.commitTransaction();
        case "abort" -> producer.abortTransaction();
        case "halt" -> Runtime.getRuntime().halt(0);
        default -> throw new IllegalArgumentException(line);
      }
    }
    for (KafkaProducer<byte[], byte[]> producer : producers.values()) producer.close();
  }

  private static KafkaProducer<byte[], byte[]> open(String broker, String[] words) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", broker);
    properties.put("compression.type", words[2]);
    properties.put("batch.size", words[3]);
    properties.put("linger.ms", "5");
    properties.put("max.request.size", "300000000");
    properties.put("buffer.memory", "300000000");
    if (words.length > 4) properties.put("transactional.id", words[4]);
    KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
    if (words.length > 4) producer.initTransactions();
    return producer;
  }

  private static ProducerRecord<byte[], byte[]> record(String[] words) {
    ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(words[2], Integer.valueOf(words[3]), bytes(words[4]), bytes(words[5]));
    for (int i = 6; i < words.length; i++) {
      String[] header = words[i].split("=", 2);
      record.headers().add(header[0], bytes(header[1]));
    }
    return record;
  }

  private static byte[] bytes(String word) {
    if (word.startsWith("*")) return new byte[Integer.parseInt(word.substring(1))];
    return word.equals("-") ? null : Base64.getDecoder().decode(word);
  }

  private static void fail(Exception error) {
    // An aborted transaction tells its records, too.
    if (error == null || error.getMessage().contains("abort")) return;
    error.printStackTrace();
    Runtime.getRuntime().halt(1);
  }
}
