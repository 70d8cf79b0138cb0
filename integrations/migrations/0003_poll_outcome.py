from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("integrations", "0002_makes"),
    ]

    operations = [
        migrations.AddField(
            model_name="vehicle",
            name="poll_error",
            field=models.CharField(blank=True, editable=False, max_length=160),
        ),
        migrations.AddField(
            model_name="vehicle",
            name="poll_outcome",
            field=models.CharField(blank=True, editable=False, max_length=16),
        ),
        migrations.AddField(
            model_name="vehicle",
            name="poll_outcome_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
